// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/direct_device.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace smc_steer {
namespace {

struct Words {
    std::string_view name;
    std::string_view text;
};

constexpr std::array<Words, DIRECT_REASONS> kReasons{{
    {"none", "no reason"},
    {"not_established", "it is closing, or was never connected"},
    {"not_accepted", "its program has not accepted it yet"},
    {"of_the_kernel", "it is the kernel's own"},
    {"other_protocol", "kTLS, sockmap, MPTCP or SMC has its socket"},
    {"in_repair", "its program has set TCP_REPAIR"},
    {"already", "it is attached to already"},
    {"locked", "a thread has its lock just now"},
    {"asked", "its program is asking for something that needs TCP's own socket"},
    {"not_attached", "it is not attached to"},
    {"not_clean", "a thread is inside of TCP that came before the attach"},
    {"no_driver", "ivpci.ko is not loaded, has no such device, or is another version"},
    {"no_memory", "the driver has no memory for rings"},
    {"has_rings", "it has rings already"},
    {"no_ring", "the other end has taken its ring back"},
    {"options", "its program has set SO_RCVLOWAT, O_ASYNC, a filter or receive timestamps"},
    {"unread", "bytes of an earlier ring are unread"},
    {"no_peer", "the driver does not reach the other guest"},
}};

}  // namespace

std::string_view direct_reason_name(direct_reason reason) {
    return static_cast<unsigned>(reason) < kReasons.size() ? kReasons[reason].name : "unknown";
}

std::string_view direct_reason_text(direct_reason reason) {
    return static_cast<unsigned>(reason) < kReasons.size() ? kReasons[reason].text
                                                           : "an unknown reason";
}

std::string to_string(const DirectAnswer& answer) {
    switch (answer.end) {
        case DirectAnswer::End::no_connection:
            return "it is over";
        case DirectAnswer::End::refused:
            return std::string(direct_reason_text(answer.reason));
        case DirectAnswer::End::failed:
            return std::generic_category().message(answer.error);
        case DirectAnswer::End::done:
            break;
    }
    return "done";
}

direct_request name_connection(const SocketAddresses& addresses, int netns) {
    direct_request request{};
    request.fd = -1;
    request.net = netns;
    // IPv4 on a socket of IPv6 is IPv4 to the kernel's tables, too.
    bool v4 = addresses.peer.is_v4();
    std::size_t skip = v4 ? 12 : 0;
    request.family = v4 ? AF_INET : AF_INET6;
    std::memcpy(request.local, addresses.local.in6.data() + skip, 16 - skip);
    std::memcpy(request.remote, addresses.peer.in6.data() + skip, 16 - skip);
    request.local_port = htons(addresses.local_port);
    request.remote_port = htons(addresses.peer_port);
    return request;
}

Result<DirectDevice> DirectDevice::open(const char* path) {
    UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC));
    if (!fd) {
        return fail_errno(errno == ENOENT ? std::string(path) + ": 'modprobe tcp_ivpci' loads it"
                                          : std::string(path));
    }
    return DirectDevice(std::move(fd));
}

DirectAnswer DirectDevice::talk(unsigned long what, void* request,
                                const direct_request& connection) {
    if (ioctl(fd_.get(), what, request) == 0) {
        return {};
    }
    switch (errno) {
        case ENOENT:
            return {DirectAnswer::End::no_connection};
        case EBUSY:
            return {DirectAnswer::End::refused, static_cast<direct_reason>(connection.reason)};
        default:
            return {DirectAnswer::End::failed, DIRECT_NO_REASON, errno};
    }
}

DirectAnswer DirectDevice::ask(unsigned long what, direct_request& connection) {
    return talk(what, &connection, connection);
}

DirectAnswer DirectDevice::ask(unsigned long what, direct_rings& rings) {
    return talk(what, &rings, rings.connection);
}

std::uint64_t DirectDevice::detach_all() {
    auto before = counters();
    ioctl(fd_.get(), DIRECT_DETACH_ALL);
    auto after = counters();
    return before && after ? after->detached - before->detached : 0;
}

Result<direct_counters> DirectDevice::counters() {
    direct_counters counters{};
    if (ioctl(fd_.get(), DIRECT_COUNTERS, &counters) < 0) {
        return fail_errno("DIRECT_COUNTERS");
    }
    return counters;
}

}  // namespace smc_steer
