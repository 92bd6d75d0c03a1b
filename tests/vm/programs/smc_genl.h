// SPDX-License-Identifier: Apache-2.0
// Generic netlink, as much of it as programs in guests ask SMC with. They are static: what guests
// that are installations of their own have of libraries is none of ours.
#ifndef SMC_STEER_TESTS_VM_PROGRAMS_SMC_GENL_H
#define SMC_STEER_TESTS_VM_PROGRAMS_SMC_GENL_H

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/smc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace smc_genl {

using Attributes = std::map<int, std::string_view>;

[[noreturn]] inline void fail(const std::string& what, int code = errno) {
    throw std::system_error(code, std::generic_category(), what);
}

inline Attributes attributes(std::string_view data) {
    Attributes found;
    nlattr head{};
    while (data.size() >= sizeof(head)) {
        std::memcpy(&head, data.data(), sizeof(head));
        size_t size = std::clamp<size_t>(head.nla_len, sizeof(head), data.size());
        found[head.nla_type & NLA_TYPE_MASK] = data.substr(sizeof(head), size - sizeof(head));
        data.remove_prefix(std::min<size_t>(NLA_ALIGN(size), data.size()));
    }
    return found;
}

inline std::string_view only(const Attributes& all, int kind) {
    auto found = all.find(kind);
    return found == all.end() ? std::string_view{} : found->second;
}

inline Attributes nested(std::string_view data, int kind) {
    return attributes(only(attributes(data), kind));
}

inline uint64_t number(std::string_view data) {
    uint64_t value = 0;
    std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
    return value;
}

inline std::string attribute(int kind, std::string_view text) {
    nlattr head{static_cast<uint16_t>(sizeof(head) + text.size()), static_cast<uint16_t>(kind)};
    std::string packed(reinterpret_cast<const char*>(&head), sizeof(head));
    packed += text;
    packed.resize(NLA_ALIGN(packed.size()));
    return packed;
}

class Netlink {
public:
    Netlink() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC)) {
        if (fd_ < 0) {
            fail("netlink");
        }
    }
    ~Netlink() { close(fd_); }
    Netlink(const Netlink&) = delete;
    Netlink& operator=(const Netlink&) = delete;

    // The attributes of each answer.
    std::vector<std::string> ask(int family, uint8_t command, int flags,
                                 const std::string& payload = "") {
        genlmsghdr what{command, 1, 0};
        nlmsghdr head{};
        head.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + GENL_HDRLEN + payload.size());
        head.nlmsg_type = static_cast<uint16_t>(family);
        head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
        std::string message(reinterpret_cast<const char*>(&head), sizeof(head));
        message.append(reinterpret_cast<const char*>(&what), sizeof(what));
        message += payload;
        if (send(fd_, message.data(), message.size(), 0) < 0) {
            fail("netlink");
        }
        std::vector<std::string> answers;
        while (!read(answers) && (flags & NLM_F_DUMP)) {
        }
        return answers;
    }

private:
    // Whether that was the last of them.
    bool read(std::vector<std::string>& answers) {
        static char buffer[1 << 16];
        auto got = recv(fd_, buffer, sizeof(buffer), 0);
        if (got < 0) {
            fail("netlink");
        }
        for (ssize_t at = 0; at + static_cast<ssize_t>(NLMSG_HDRLEN) <= got;) {
            nlmsghdr head{};
            std::memcpy(&head, buffer + at, sizeof(head));
            if (head.nlmsg_type == NLMSG_ERROR) {
                int code = 0;
                std::memcpy(&code, buffer + at + NLMSG_HDRLEN, sizeof(code));
                if (code) {
                    fail("netlink", -code);
                }
                return true;
            }
            if (head.nlmsg_type == NLMSG_DONE) {
                return true;
            }
            answers.emplace_back(buffer + at + NLMSG_HDRLEN + GENL_HDRLEN,
                                 head.nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN);
            at += NLMSG_ALIGN(head.nlmsg_len);
        }
        return false;
    }

    int fd_;
};

// Nothing: smc.ko is not loaded.
inline std::optional<int> smc_family(Netlink& netlink) {
    try {
        auto answers = netlink.ask(
            GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0,
            attribute(CTRL_ATTR_FAMILY_NAME, {SMC_GENL_FAMILY_NAME, sizeof(SMC_GENL_FAMILY_NAME)}));
        return static_cast<int>(number(only(attributes(answers.at(0)), CTRL_ATTR_FAMILY_ID)));
    } catch (const std::system_error& error) {
        if (error.code().value() != ENOENT) {
            throw;
        }
        return std::nullopt;
    }
}

}  // namespace smc_genl

#endif
