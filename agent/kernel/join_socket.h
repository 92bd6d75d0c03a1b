// SPDX-License-Identifier: Apache-2.0
// The module smc_join, by the agent's end of a program's connection: smc_steer/join_abi.h.
#ifndef SMC_STEER_AGENT_KERNEL_JOIN_SOCKET_H
#define SMC_STEER_AGENT_KERNEL_JOIN_SOCKET_H

#include <cstdint>
#include <optional>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer {

// Loads the module, if it is there: a socket with its options, of no connection. The error says why
// it cannot be used.
Result<UniqueFd> join_open();
// Of a wire that has just been connected, or of a listener. `module`: from join_open(), -1: nothing
// is done.
void join_keep_timers(int module, int wire);

enum class JoinStep { done, later, never };

// The first one: `local` has these options from now on.
bool join_begin(int local);
// SMC_JOIN_PREPARE and so on.
JoinStep join_prepare(int local);
JoinStep join_send(int local, int wire, bool urgent_is_reset);
JoinStep join_receive(int local);

struct JoinedBytes {
    std::uint64_t sent = 0;  // by the program
    std::uint64_t received = 0;
};
std::optional<JoinedBytes> joined_bytes(int local);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_JOIN_SOCKET_H
