// SPDX-License-Identifier: Apache-2.0
// TCP sockets of our own, to other agents: not blocking, for IPv4 and IPv6.
#ifndef SMC_STEER_AGENT_KERNEL_TCP_SOCKET_H
#define SMC_STEER_AGENT_KERNEL_TCP_SOCKET_H

#include <cstdint>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/kernel/stream_socket.h"

namespace smc_steer {

// On all addresses.
Result<UniqueFd> tcp_listen(std::uint16_t port);

struct TcpAccepted {
    UniqueFd fd;  // not valid: nobody was waiting
    Endpoint peer;
};
Result<TcpAccepted> tcp_accept(int listener);

// Under way when it returns: EPOLLOUT says that it ended, connect_ended() how.
Result<UniqueFd> tcp_connect(const Endpoint& to);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_TCP_SOCKET_H
