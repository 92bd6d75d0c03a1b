// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/smc_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <smc_steer/events_abi.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace smc_steer {
namespace {

// net/smc/smc.h, enum smc_state: what is neither connecting, listening nor closed.
constexpr std::uint8_t kSmcInit = 2;
constexpr std::uint8_t kSmcClosed = 7;
constexpr std::uint8_t kSmcListen = 10;

// include/net/tcp_states.h
constexpr std::uint8_t kEstablished = 1;
constexpr unsigned kListening = 1U << 10;
constexpr unsigned kConnected =
    1U << kEstablished | 1U << 4 | 1U << 5 | 1U << 8;  // ESTABLISHED, FIN_WAIT*,
                                                       // CLOSE_WAIT

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

// The beginning of a structure that the kernel may know more or less of than we.
template <typename T>
T read_struct(const nlattr& attribute) {
    T value{};
    std::memcpy(&value, mnl_attr_get_payload(&attribute),
                std::min<std::size_t>(sizeof(T), mnl_attr_get_payload_len(&attribute)));
    return value;
}

std::uint64_t position(const smc_diag_cursor& cursor, std::uint32_t size) {
    return static_cast<std::uint64_t>(cursor.wrap) * size + cursor.count;
}

std::optional<std::uint64_t> established_at(const nlattr& storages) {
    std::optional<std::uint64_t> at;
    for_each_nested(storages, [&](int type, const nlattr& storage) {
        if (type != SK_DIAG_BPF_STORAGE) {
            return;
        }
        for_each_nested(storage, [&](int inner, const nlattr& attribute) {
            if (inner == SK_DIAG_BPF_STORAGE_MAP_VALUE) {
                at = read_struct<steer_connection>(attribute).established_ns;
            }
        });
    });
    return at;
}

std::string upper_protocol(const nlattr& info) {
    std::string name;
    for_each_nested(info, [&](int type, const nlattr& attribute) {
        if (type == INET_ULP_INFO_NAME) {
            const auto* text = static_cast<const char*>(mnl_attr_get_payload(&attribute));
            name.assign(text, strnlen(text, mnl_attr_get_payload_len(&attribute)));
        }
    });
    return name;
}

void read_tcp_attribute(int type, const nlattr& attribute, TcpSocket& socket) {
    if (type == INET_DIAG_INFO) {
        auto info = read_struct<tcp_info>(attribute);
        // The SYN counts as acknowledged.
        socket.bytes = {info.tcpi_bytes_acked ? info.tcpi_bytes_acked - 1 : 0,
                        info.tcpi_bytes_received};
        socket.messages = std::uint64_t{info.tcpi_data_segs_in} + info.tcpi_data_segs_out;
    } else if (type == INET_DIAG_ULP_INFO) {
        socket.attached = upper_protocol(attribute) == "tcp_ivpci";
    } else if (type == INET_DIAG_CGROUP_ID) {
        socket.cgroup = attribute_u64(attribute);
    } else if (type == INET_DIAG_SK_BPF_STORAGES) {
        socket.established_ns = established_at(attribute);
    }
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
    auto& wanted = request.extra<smc_diag_req>();
    wanted.diag_family = AF_SMC;
    wanted.diag_ext = 1U << (SMC_DIAG_CONNINFO - 1);
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
            if (type == SMC_DIAG_CONNINFO) {
                auto info = read_struct<smc_diag_conninfo>(attribute);
                socket.bytes = {position(info.tx_prod, info.peer_rmbe_size),
                                position(info.rx_cons, info.rmbe_size)};
            }
        });
        sockets.push_back(socket);
    });
    if (auto good = check(answer, "SMC"); !good) {
        return tl::unexpected(good.error());
    }
    return sockets;
}

Result<void> DiagSocket::tcp_of(std::uint8_t family, int connections, TcpDetail detail,
                                std::vector<TcpSocket>& sockets) {
    NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
    auto& wanted = request.extra<inet_diag_req_v2>();
    wanted.sdiag_family = family;
    wanted.sdiag_protocol = IPPROTO_TCP;
    wanted.idiag_states = kConnected;
    wanted.idiag_ext = detail == TcpDetail::traffic ? 1U << (INET_DIAG_INFO - 1) : 0;
    if (connections >= 0) {
        auto* nest = mnl_attr_nest_start(request.header, INET_DIAG_REQ_SK_BPF_STORAGES);
        mnl_attr_put_u32(request.header, SK_DIAG_BPF_STORAGE_REQ_MAP_FD,
                         static_cast<std::uint32_t>(connections));
        mnl_attr_nest_end(request.header, nest);
    }
    auto answer = socket_.talk(*request.header, [&](const nlmsghdr& message) {
        inet_diag_msg diag;
        if (mnl_nlmsg_get_payload_len(&message) < sizeof(diag)) {
            return;
        }
        std::memcpy(&diag, mnl_nlmsg_get_payload(&message), sizeof(diag));
        TcpSocket socket{
            addresses_of(diag.id, diag.idiag_family), diag.idiag_uid, diag.idiag_inode, {}, 0, {}};
        socket.established = diag.idiag_state == kEstablished;
        for_each_attribute(message, sizeof(diag), [&](int type, const nlattr& attribute) {
            read_tcp_attribute(type, attribute, socket);
        });
        sockets.push_back(socket);
    });
    return check(answer, "TCP");
}

Result<std::vector<TcpSocket>> DiagSocket::tcp(int connections, TcpDetail detail) {
    std::vector<TcpSocket> sockets;
    for (std::uint8_t family : {AF_INET, AF_INET6}) {
        if (auto good = tcp_of(family, connections, detail, sockets); !good) {
            return tl::unexpected(good.error());
        }
    }
    return sockets;
}

Result<std::set<std::uint16_t>> DiagSocket::listening() {
    std::set<std::uint16_t> ports;
    for (std::uint8_t family : {AF_INET, AF_INET6}) {
        NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
        auto& wanted = request.extra<inet_diag_req_v2>();
        wanted.sdiag_family = family;
        wanted.sdiag_protocol = IPPROTO_TCP;
        wanted.idiag_states = kListening;
        auto answer = socket_.talk(*request.header, [&](const nlmsghdr& message) {
            inet_diag_msg diag;
            if (mnl_nlmsg_get_payload_len(&message) >= sizeof(diag)) {
                std::memcpy(&diag, mnl_nlmsg_get_payload(&message), sizeof(diag));
                ports.insert(ntohs(diag.id.idiag_sport));
            }
        });
        if (auto good = check(answer, "listening"); !good) {
            return tl::unexpected(good.error());
        }
    }
    return ports;
}

}  // namespace smc_steer
