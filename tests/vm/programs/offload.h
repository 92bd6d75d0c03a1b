// SPDX-License-Identifier: Apache-2.0
// Connections of this guest as tcp_ivpci's requests name them.
#ifndef SMC_STEER_TESTS_VM_PROGRAMS_OFFLOAD_H
#define SMC_STEER_TESTS_VM_PROGRAMS_OFFLOAD_H

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "smc_steer/direct_abi.h"

inline volatile sig_atomic_t ended = 0;

struct Ports {
    unsigned first;
    unsigned last;
    bool has(__be16 port) const { return ntohs(port) >= first && ntohs(port) <= last; }
};

[[noreturn]] inline void die(const char* what) {
    std::fprintf(stderr, "offload: %s: %s\n", what, std::strerror(errno));
    std::exit(3);
}

inline direct_request request_for(const inet_diag_msg& told) {
    direct_request request{};
    request.fd = request.net = -1;
    request.family = told.idiag_family;
    request.local_port = told.id.idiag_sport;
    request.remote_port = told.id.idiag_dport;
    const auto* local = reinterpret_cast<const uint8_t*>(told.id.idiag_src);
    const auto* remote = reinterpret_cast<const uint8_t*>(told.id.idiag_dst);
    // IPv4 on a socket of IPv6 is IPv4 to the kernel's tables.
    size_t skip = 0;
    if (told.idiag_family == AF_INET6 &&
        IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(remote))) {
        request.family = AF_INET;
        skip = 12;
    }
    const size_t length = request.family == AF_INET ? 4 : 16;
    std::memcpy(request.local, local + skip, length);
    std::memcpy(request.remote, remote + skip, length);
    return request;
}

// Established connections of the ports, each end by itself.
inline std::vector<direct_request> connections(int netlink, const Ports& ports, uint8_t family) {
    struct {
        nlmsghdr header;
        inet_diag_req_v2 request;
    } ask{};
    ask.header.nlmsg_len = sizeof(ask);
    ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    ask.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    ask.request.sdiag_family = family;
    ask.request.sdiag_protocol = IPPROTO_TCP;
    ask.request.idiag_states = 1 << TCP_ESTABLISHED;
    if (send(netlink, &ask, sizeof(ask), 0) < 0) {
        die("sock_diag");
    }
    std::vector<direct_request> found;
    alignas(nlmsghdr) static char buffer[1 << 16];
    for (;;) {
        ssize_t got = recv(netlink, buffer, sizeof(buffer), 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            die("sock_diag");
        }
        for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, got);
             header = NLMSG_NEXT(header, got)) {
            if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
                return found;
            }
            const auto* told = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
            if (ports.has(told->id.idiag_sport) || ports.has(told->id.idiag_dport)) {
                found.push_back(request_for(*told));
            }
        }
    }
}

inline std::vector<direct_request> connections(int netlink, const Ports& ports) {
    auto all = connections(netlink, ports, AF_INET);
    const auto six = connections(netlink, ports, AF_INET6);
    all.insert(all.end(), six.begin(), six.end());
    return all;
}

inline bool parse(const char* text, Ports* ports) {
    return std::sscanf(text, "%u-%u", &ports->first, &ports->last) == 2;
}

#endif  // SMC_STEER_TESTS_VM_PROGRAMS_OFFLOAD_H
