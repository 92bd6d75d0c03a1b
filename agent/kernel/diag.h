// SPDX-License-Identifier: Apache-2.0
// The living sockets of a network namespace, over NETLINK_SOCK_DIAG.
// Source: include/uapi/linux/{inet_diag,smc_diag}.h, net/smc/smc_diag.c.
#ifndef SMC_STEER_AGENT_KERNEL_DIAG_H
#define SMC_STEER_AGENT_KERNEL_DIAG_H

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "agent/kernel/address.h"
#include "agent/kernel/netlink.h"

namespace smc_steer {

struct SocketAddresses {
    Address local;
    Address peer;
    std::uint16_t local_port = 0;
    std::uint16_t peer_port = 0;

    bool operator==(const SocketAddresses&) const = default;
};

// Payload by the program's view. Of an SMC-D connection from its cursors, which wrap after
// 65,536 times the buffer's size.
struct Transferred {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;

    bool operator==(const Transferred&) const = default;
};

enum class SmcMode { smcr, fallback, smcd };

// A connected SMC socket. Up to 7.x smc_diag fills in the addresses of AF_SMC sockets only:
// those of IPPROTO_SMC sockets, which is what steering makes, are zero, the ports are right.
struct SmcSocket {
    SocketAddresses addresses;
    SmcMode mode = SmcMode::smcr;
    std::uint32_t reason = 0;  // of the fallback
    std::uint32_t uid = 0;
    std::uint64_t inode = 0;
    Transferred bytes{};
};

// A connected TCP socket; the inner ones of SMC sockets are among them.
struct TcpSocket {
    SocketAddresses addresses;
    std::uint32_t uid = 0;
    std::uint64_t inode = 0;
    Transferred bytes{};
    std::uint64_t cgroup = 0;  // id of the control group it was made in; 0: unknown
    // CLOCK_MONOTONIC, where flows.bpf.c saw it
    std::optional<std::uint64_t> established_ns{};
    bool established = false;    // and neither end has closed it
    bool attached = false;       // to by tcp_ivpci (smc_steer/direct_abi.h)
    std::uint64_t messages = 0;  // packets with data, both ways
};

enum class TcpDetail {
    addresses,  // who and where: takes no socket's lock
    traffic,    // bytes and messages, too
};

class DiagSocket {
public:
    // In the calling thread's network namespace.
    static Result<DiagSocket> open();

    Result<std::vector<SmcSocket>> smc();
    // `connections`: descriptor of the BPF map of that name, to know since when; -1: without.
    Result<std::vector<TcpSocket>> tcp(int connections = -1, TcpDetail detail = TcpDetail::traffic);
    // Ports that somebody listens on.
    Result<std::set<std::uint16_t>> listening();

private:
    explicit DiagSocket(NetlinkSocket socket) : socket_(std::move(socket)) {}
    Result<void> tcp_of(std::uint8_t family, int connections, TcpDetail detail,
                        std::vector<TcpSocket>& sockets);

    NetlinkSocket socket_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_DIAG_H
