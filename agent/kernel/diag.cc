// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/smc_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace smc_steer {
namespace {

// net/smc/smc.h, enum smc_state: what is neither connecting, listening nor closed.
constexpr std::uint8_t kSmcInit = 2;
constexpr std::uint8_t kSmcClosed = 7;
constexpr std::uint8_t kSmcListen = 10;

SocketAddresses addresses_of(const inet_diag_sockid& id, std::uint8_t family) {
    SocketAddresses a;
    std::size_t length = family == AF_INET ? 4 : 16;
    a.local =
        Address::from_bytes(std::span(reinterpret_cast<const std::uint8_t*>(id.idiag_src), length));
    a.peer =
        Address::from_bytes(std::span(reinterpret_cast<const std::uint8_t*>(id.idiag_dst), length));
    a.local_port = ntohs(id.idiag_sport);
    a.peer_port = ntohs(id.idiag_dport);
    return a;
}

Result<void> check(const Result<int>& answer, std::string_view what) {
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    // EINTR: sockets came and went meanwhile, as they always do.
    if (*answer && *answer != EINTR) {
        return fail_errno(*answer, "cannot list {} sockets", what);
    }
    return {};
}

}  // namespace

Result<DiagSocket> DiagSocket::open() {
    auto socket = NetlinkSocket::open(NETLINK_SOCK_DIAG);
    if (!socket) {
        return tl::unexpected(socket.error());
    }
    return DiagSocket(std::move(*socket));
}

Result<std::vector<SmcSocket>> DiagSocket::smc() {
    NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
    request.extra<smc_diag_req>().diag_family = AF_SMC;
    std::vector<SmcSocket> sockets;
    auto answer = socket_.talk(*request.header, [&](const nlmsghdr& message) {
        smc_diag_msg diag;
        if (mnl_nlmsg_get_payload_len(&message) < sizeof(diag)) {
            return;
        }
        std::memcpy(&diag, mnl_nlmsg_get_payload(&message), sizeof(diag));
        if (diag.diag_state == kSmcInit || diag.diag_state == kSmcClosed ||
            diag.diag_state == kSmcListen) {
            return;
        }
        SmcSocket socket;
        socket.addresses = addresses_of(diag.id, diag.diag_family == AF_INET6 ? AF_INET6 : AF_INET);
        socket.mode = diag.diag_mode == SMC_DIAG_MODE_SMCD           ? SmcMode::smcd
                      : diag.diag_mode == SMC_DIAG_MODE_FALLBACK_TCP ? SmcMode::fallback
                                                                     : SmcMode::smcr;
        socket.uid = diag.diag_uid;
        socket.inode = diag.diag_inode;
        for_each_attribute(message, sizeof(diag), [&](int type, const nlattr& attribute) {
            if (type == SMC_DIAG_FALLBACK) {
                socket.reason = attribute_u32(attribute);
            }
        });
        sockets.push_back(socket);
    });
    if (auto good = check(answer, "SMC"); !good) {
        return tl::unexpected(good.error());
    }
    return sockets;
}

Result<void> DiagSocket::tcp_of(std::uint8_t family, std::vector<TcpSocket>& sockets) {
    NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
    auto& wanted = request.extra<inet_diag_req_v2>();
    wanted.sdiag_family = family;
    wanted.sdiag_protocol = IPPROTO_TCP;
    wanted.idiag_states =
        1u << TCP_ESTABLISHED | 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | 1u << TCP_CLOSE_WAIT;
    auto answer = socket_.talk(*request.header, [&](const nlmsghdr& message) {
        inet_diag_msg diag;
        if (mnl_nlmsg_get_payload_len(&message) < sizeof(diag)) {
            return;
        }
        std::memcpy(&diag, mnl_nlmsg_get_payload(&message), sizeof(diag));
        sockets.push_back(
            {addresses_of(diag.id, diag.idiag_family), diag.idiag_uid, diag.idiag_inode});
    });
    return check(answer, "TCP");
}

Result<std::vector<TcpSocket>> DiagSocket::tcp() {
    std::vector<TcpSocket> sockets;
    for (std::uint8_t family : {AF_INET, AF_INET6}) {
        if (auto good = tcp_of(family, sockets); !good) {
            return tl::unexpected(good.error());
        }
    }
    return sockets;
}

}  // namespace smc_steer
