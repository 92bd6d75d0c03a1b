// SPDX-License-Identifier: Apache-2.0
// The living sockets of a network namespace, over NETLINK_SOCK_DIAG.
// Source: include/uapi/linux/{inet_diag,smc_diag}.h, net/smc/smc_diag.c.
#ifndef SMC_STEER_AGENT_KERNEL_DIAG_H
#define SMC_STEER_AGENT_KERNEL_DIAG_H

#include <cstdint>
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

enum class SmcMode { smcr, fallback, smcd };

// A connected SMC socket. Up to 7.x smc_diag fills in the addresses of AF_SMC sockets only:
// those of IPPROTO_SMC sockets, which is what steering makes, are zero, the ports are right.
struct SmcSocket {
    SocketAddresses addresses;
    SmcMode mode = SmcMode::smcr;
    std::uint32_t reason = 0;  // of the fallback
    std::uint32_t uid = 0;
    std::uint64_t inode = 0;
};

// A connected TCP socket; the inner ones of SMC sockets are among them.
struct TcpSocket {
    SocketAddresses addresses;
    std::uint32_t uid = 0;
    std::uint64_t inode = 0;
};

class DiagSocket {
public:
    // In the calling thread's network namespace.
    static Result<DiagSocket> open();

    Result<std::vector<SmcSocket>> smc();
    Result<std::vector<TcpSocket>> tcp();

private:
    explicit DiagSocket(NetlinkSocket socket) : socket_(std::move(socket)) {}
    Result<void> tcp_of(std::uint8_t family, std::vector<TcpSocket>& sockets);

    NetlinkSocket socket_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_DIAG_H
