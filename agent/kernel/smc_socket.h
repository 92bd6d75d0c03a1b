// SPDX-License-Identifier: Apache-2.0
// SMC sockets of our own (IPPROTO_SMC), with the smallest buffers: not blocking.
#ifndef SMC_STEER_AGENT_KERNEL_SMC_SOCKET_H
#define SMC_STEER_AGENT_KERNEL_SMC_SOCKET_H

#include <cstdint>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/kernel/stream_socket.h"

namespace smc_steer {

// On all addresses, IPv4 and IPv6.
Result<UniqueFd> smc_listen(std::uint16_t port);

struct SmcAccepted {
    UniqueFd fd;  // not valid: nobody was waiting
    Address peer;
};
Result<SmcAccepted> smc_accept(int listener);

// Under way when it returns: EPOLLOUT says that it ended, connect_ended() how.
Result<UniqueFd> smc_connect(const Address& address, std::uint16_t port);

// The number of the socket in sock_diag and /proc; 0 if `fd` is none.
std::uint64_t socket_inode(int fd);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_SOCKET_H
