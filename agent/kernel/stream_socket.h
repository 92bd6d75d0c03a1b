// SPDX-License-Identifier: Apache-2.0
// What SMC and TCP sockets of ours have in common: not blocking, for IPv4 (as mapped addresses) and
// IPv6.
#ifndef SMC_STEER_AGENT_KERNEL_STREAM_SOCKET_H
#define SMC_STEER_AGENT_KERNEL_STREAM_SOCKET_H

#include <cstdint>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/kernel/address.h"

namespace smc_steer {

// Not valid: errno says why. `protocol`: IPPROTO_*.
UniqueFd open_stream(int protocol);
// On all addresses. False: errno says why.
bool listen_on(int fd, std::uint16_t port, int backlog);
// Not valid: errno says why.
UniqueFd accept_from(int listener, Endpoint& peer);
// Under way when it returns: EPOLLOUT says that it ended, connect_ended() how.
Result<UniqueFd> begin_connect(UniqueFd fd, const Endpoint& to);
// The error's code is the errno.
Result<void> connect_ended(int fd);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_STREAM_SOCKET_H
