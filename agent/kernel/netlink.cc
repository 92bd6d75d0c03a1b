// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace smc_steer {
namespace {

constexpr std::size_t kReceiveRoom = 64 << 10;  // the kernel's dumps are at most 32 KiB each

int answered_errno(const nlmsghdr& message) {
    int error = 0;
    if (mnl_nlmsg_get_payload_len(&message) >= sizeof(error)) {
        std::memcpy(&error, mnl_nlmsg_get_payload(&message), sizeof(error));
    }
    return -error;
}

// libmnl's own loops are macros that only C compiles.
void each(const nlattr* attribute, const char* end,
          const std::function<void(int, const nlattr&)>& on_attribute) {
    while (
        mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
        on_attribute(mnl_attr_get_type(attribute), *attribute);
        attribute = mnl_attr_next(attribute);
    }
}

}  // namespace

Result<NetlinkSocket> NetlinkSocket::open(int bus, unsigned groups) {
    mnl_socket* raw = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (!raw) {
        return fail_errno(errno, "cannot open a netlink socket (bus {})", bus);
    }
    NetlinkSocket socket(raw);
    timeval patience{2, 0};
    setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (mnl_socket_bind(raw, groups, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno(errno, "cannot bind a netlink socket (bus {})", bus);
    }
    return socket;
}

Result<int> NetlinkSocket::talk(nlmsghdr& request, const OnMessage& on_message) {
    request.nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0) {
        return fail_errno(errno, "netlink: cannot send");
    }

    std::vector<char> room(kReceiveRoom);
    bool interrupted = false;
    for (;;) {
        ssize_t received = mnl_socket_recvfrom(socket_.get(), room.data(), room.size());
        if (received < 0) {
            return fail_errno(errno, "netlink: no answer");
        }
        int left = static_cast<int>(received);
        for (auto* m = reinterpret_cast<const nlmsghdr*>(room.data()); mnl_nlmsg_ok(m, left);
             m = mnl_nlmsg_next(m, &left)) {
            if (m->nlmsg_seq != request.nlmsg_seq) {
                continue;  // of a request given up on
            }
            if (m->nlmsg_flags & NLM_F_DUMP_INTR) {
                interrupted = true;
            }
            if (m->nlmsg_type == NLMSG_ERROR) {
                return answered_errno(*m);
            }
            if (m->nlmsg_type == NLMSG_DONE) {
                int error = answered_errno(*m);
                return error == 0 && interrupted ? EINTR : error;
            }
            if (on_message) {
                on_message(*m);
            }
        }
    }
}

bool NetlinkSocket::drain() {
    char room[8192];
    bool anything = false;
    for (;;) {
        ssize_t received = recv(fd(), room, sizeof(room), MSG_DONTWAIT | MSG_TRUNC);
        if (received < 0 && errno == ENOBUFS) {
            anything = true;
            continue;
        }
        if (received <= 0) {
            return anything;
        }
        anything = true;
    }
}

void for_each_attribute(const nlmsghdr& message, std::size_t offset,
                        const std::function<void(int, const nlattr&)>& on_attribute) {
    if (mnl_nlmsg_get_payload_len(&message) < offset) {
        return;
    }
    const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message));
    const auto* attribute =
        static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, offset));
    each(attribute, end, on_attribute);
}

void for_each_nested(const nlattr& nest,
                     const std::function<void(int, const nlattr&)>& on_attribute) {
    const char* begin = static_cast<const char*>(mnl_attr_get_payload(&nest));
    each(reinterpret_cast<const nlattr*>(begin), begin + mnl_attr_get_payload_len(&nest),
         on_attribute);
}

std::uint32_t attribute_u32(const nlattr& attribute) {
    if (mnl_attr_get_payload_len(&attribute) < sizeof(std::uint32_t)) {
        return 0;
    }
    return mnl_attr_get_u32(&attribute);
}

std::uint64_t attribute_u64(const nlattr& attribute) {
    if (mnl_attr_get_payload_len(&attribute) < sizeof(std::uint64_t)) {
        return 0;
    }
    return mnl_attr_get_u64(&attribute);
}

}  // namespace smc_steer
