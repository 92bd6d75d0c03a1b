// SPDX-License-Identifier: Apache-2.0
// SMC sockets of our own (IPPROTO_SMC; AF_SMC on kernels that are older): not blocking.
#ifndef SMC_STEER_AGENT_KERNEL_SMC_SOCKET_H
#define SMC_STEER_AGENT_KERNEL_SMC_SOCKET_H

#include <cstdint>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/kernel/address.h"

namespace smc_steer {

inline constexpr int kSmallestBuffer = 16 << 10;  // bytes, SMC's smallest DMB

// On all addresses, IPv4 and IPv6. `buffer`: bytes of each accepted connection, each way.
Result<UniqueFd> smc_listen(std::uint16_t port, int buffer = kSmallestBuffer);

struct SmcAccepted {
    UniqueFd fd;  // not valid: nobody was waiting
    Address peer;
    std::uint16_t port = 0;  // the peer's
};
Result<SmcAccepted> smc_accept(int listener);

// Under way when it returns: EPOLLOUT says that it ended, smc_connected() how.
// `from`: the address to connect from; unspecified: as the kernel likes.
Result<UniqueFd> smc_connect(const Address& address, std::uint16_t port,
                             int buffer = kSmallestBuffer, const Address& from = {});
// A TCP socket that is bound to a port of that address and not connected yet.
Result<UniqueFd> tcp_bound(const Address& from);
// Under way when it returns, as smc_connect().
Result<void> begin_connect(int fd, const Endpoint& to);
// The error's code is the errno.
Result<void> smc_connected(int fd);

// Of a connected socket, an SMC or TCP one.
Result<Endpoint> own_name(int fd);
Result<Endpoint> peer_name(int fd);
// Bytes handed to TCP so far; of an SMC socket, to the one inside it: they do not grow with what
// is sent over SMC-D. 0: not known.
std::uint64_t bytes_to_tcp(int fd);

// The number of the socket in sock_diag and /proc; 0 if `fd` is none.
std::uint64_t socket_inode(int fd);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_SOCKET_H
