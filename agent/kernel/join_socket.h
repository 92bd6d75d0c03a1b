// SPDX-License-Identifier: Apache-2.0
// The module smc_join, by the agent's end of a program's connection: smc_steer/join_abi.h.
#ifndef SMC_STEER_AGENT_KERNEL_JOIN_SOCKET_H
#define SMC_STEER_AGENT_KERNEL_JOIN_SOCKET_H

#include <cstdint>
#include <optional>
#include <utility>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer {

// The module as such, by a socket of no connection, which holds it.
class JoinModule {
public:
    // Loads it, if it is there. The error says why it cannot be used.
    static Result<JoinModule> open();
    int fd() const { return socket_.get(); }

private:
    explicit JoinModule(UniqueFd socket) : socket_(std::move(socket)) {}

    UniqueFd socket_;
};

// SMC_JOIN_TIMERS: this wire, or what this SMC listener accepts, is closed as any socket from now
// on. Null: it is not.
void keep_timers(const JoinModule* module, int fd);

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
