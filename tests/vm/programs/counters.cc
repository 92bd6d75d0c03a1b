// SPDX-License-Identifier: Apache-2.0
// counters: prints what this guest's kernel counted, as JSON, asked without smc-agent's help:
// {"smc": {...} or null, "ivpci": {"ivpci0": {...}}, "tcp_opens": N}.
//
// smc: of the current network namespace, from SMC's generic netlink family (linux/smc.h);
// "fallbacks" in it are counts by reason, as client and as server.
// ivpci: from the driver (ivpci/uapi.h).
// tcp_opens: connect() calls of TCP in this network namespace, those inside SMC sockets too.
//
// A program of its own and static: cases ask all the time, some in guests that have none of our
// libraries, and under TCG a Python that does the same costs more than a second each time.
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/smc.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "ivpci/uapi.h"

namespace {

using Json = nlohmann::json;
using Attributes = std::map<int, std::string_view>;

[[noreturn]] void fail(const std::string& what, int code = errno) {
    throw std::system_error(code, std::generic_category(), what);
}

Attributes attributes(std::string_view data) {
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

std::string_view only(const Attributes& all, int kind) {
    auto found = all.find(kind);
    return found == all.end() ? std::string_view{} : found->second;
}

Attributes nested(std::string_view data, int kind) {
    return attributes(only(attributes(data), kind));
}

uint64_t number(std::string_view data) {
    uint64_t value = 0;
    std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
    return value;
}

std::string attribute(int kind, std::string_view text) {
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
std::optional<int> smc_family(Netlink& netlink) {
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

Json fallbacks(Netlink& netlink, int family) {
    auto counts = Json::object();
    for (const auto& answer : netlink.ask(family, SMC_NETLINK_GET_FBACK_STATS, NLM_F_DUMP)) {
        auto one = nested(answer, SMC_GEN_FBACK_STATS);
        char reason[16];
        std::snprintf(reason, sizeof(reason), "0x%08x",
                      static_cast<unsigned>(number(only(one, SMC_NLA_FBACK_STATS_RSN_CODE))));
        counts[reason] =
            counts.value(reason, uint64_t{0}) + number(only(one, SMC_NLA_FBACK_STATS_RSN_CNT));
    }
    return counts;
}

Json eids(Netlink& netlink, int family) {
    auto names = Json::array();
    for (const auto& answer : netlink.ask(family, SMC_NETLINK_DUMP_UEID, NLM_F_DUMP)) {
        std::string name(only(attributes(answer), SMC_NLA_EID_TABLE_ENTRY));
        name.erase(name.find_last_not_of(std::string_view("\0 ", 2)) + 1);
        names.push_back(name);
    }
    return names;
}

Json smc() {
    Netlink netlink;
    auto family = smc_family(netlink);
    if (!family) {
        return nullptr;
    }
    auto answers = netlink.ask(*family, SMC_NETLINK_GET_STATS, NLM_F_DUMP);
    auto stats = nested(answers.at(0), SMC_GEN_STATS);
    auto tech = attributes(only(stats, SMC_NLA_STATS_SMCD_TECH));
    auto count = [&tech](int kind) { return number(only(tech, kind)); };
    auto limits = netlink.ask(*family, SMC_NETLINK_DUMP_HS_LIMITATION, NLM_F_DUMP);
    return {
        {"client", count(SMC_NLA_STATS_T_CLNT_V1_SUCC) + count(SMC_NLA_STATS_T_CLNT_V2_SUCC)},
        {"server", count(SMC_NLA_STATS_T_SRV_V1_SUCC) + count(SMC_NLA_STATS_T_SRV_V2_SUCC)},
        {"rx_bytes", count(SMC_NLA_STATS_T_RX_BYTES)},
        {"tx_bytes", count(SMC_NLA_STATS_T_TX_BYTES)},
        {"client_handshake_errors", number(only(stats, SMC_NLA_STATS_CLNT_HS_ERR_CNT))},
        {"server_handshake_errors", number(only(stats, SMC_NLA_STATS_SRV_HS_ERR_CNT))},
        {"fallbacks", fallbacks(netlink, *family)},
        {"limited", number(only(attributes(limits.at(0)), SMC_NLA_HS_LIMITATION_ENABLED))},
        {"eids", eids(netlink, *family)},
    };
}

struct Field {
    const char* name;
    size_t offset;
};

#define FIELD(name) \
    Field { #name, offsetof(ivpci_stats, name) }
constexpr Field kFields[] = {FIELD(dmbs),
                             FIELD(dmbs_parked),
                             FIELD(dmb_bytes),
                             FIELD(chunks),
                             FIELD(attachments),
                             FIELD(registered),
                             FIELD(refused_full),
                             FIELD(refused_index),
                             FIELD(refused_peer),
                             FIELD(bytes_sent),
                             FIELD(signals_sent),
                             FIELD(doorbells_sent),
                             FIELD(doorbells_skipped),
                             FIELD(ring_overflows),
                             FIELD(interrupts),
                             FIELD(signals_received),
                             FIELD(full_scans),
                             FIELD(events_sent),
                             FIELD(events_received),
                             FIELD(peers_lost),
                             FIELD(polls),
                             FIELD(poll_hits),
                             FIELD(poll_ns),
                             FIELD(refused_broker),
                             FIELD(refused_memory),
                             FIELD(refused_header),
                             FIELD(header_tampered),
                             FIELD(peers_silent)};
#undef FIELD
static_assert(sizeof(kFields) / sizeof(Field) * sizeof(uint64_t) == sizeof(ivpci_stats),
              "kFields has all of struct ivpci_stats");

Json device(const std::string& path) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ivpci_stats stats{};
    ivpci_info info{};
    if (fd < 0 || ioctl(fd, IVPCI_IOC_STATS, &stats) || ioctl(fd, IVPCI_IOC_INFO, &info)) {
        fail(path);
    }
    close(fd);
    Json found{{"slot", info.slot},
               {"slots", info.slots},
               {"generation", info.generation},
               {"gid", info.gid},
               {"size", info.size}};
    for (const auto& field : kFields) {
        uint64_t value = 0;
        std::memcpy(&value, reinterpret_cast<const char*>(&stats) + field.offset, sizeof(value));
        found[field.name] = value;
    }
    return found;
}

Json ivpci() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/dev")) {
        auto name = entry.path().filename().string();
        if (name.starts_with("ivpci")) {
            names.insert(name);
        }
    }
    auto devices = Json::object();
    for (const auto& name : names) {
        devices[name] = device("/dev/" + name);
    }
    return devices;
}

uint64_t tcp_opens() {
    std::ifstream snmp("/proc/net/snmp");
    std::string names, values;
    while (std::getline(snmp, names) && !names.starts_with("Tcp:")) {
    }
    std::getline(snmp, values);
    std::istringstream name(names), value(values);
    for (std::string one, each; name >> one && value >> each;) {
        if (one == "ActiveOpens") {
            return std::stoull(each);
        }
    }
    fail("/proc/net/snmp has no ActiveOpens", ENOENT);
}

}  // namespace

int main() {
    try {
        Json all{{"smc", smc()}, {"ivpci", ivpci()}, {"tcp_opens", tcp_opens()}};
        std::puts(all.dump().c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "counters: %s\n", error.what());
        return 1;
    }
}
