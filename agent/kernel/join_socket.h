// SPDX-License-Identifier: Apache-2.0
// The module smc_join, by the agent's end of a program's connection: smc_steer/join_abi.h.
#ifndef SMC_STEER_AGENT_KERNEL_JOIN_SOCKET_H
#define SMC_STEER_AGENT_KERNEL_JOIN_SOCKET_H

#include <cstdint>
#include <optional>

#include "agent/base/result.h"

namespace smc_steer {

// Loads the module, if it is there. The error says why it cannot be used.
Result<void> join_available();

// SMC_JOIN_TIMERS: this wire, or what this SMC listener accepts, is closed as any socket from now
// on. Nothing is done without the module.
void join_keep_timers(int fd);

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
