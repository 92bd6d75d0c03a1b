// SPDX-License-Identifier: Apache-2.0
// The process at the other end of a socket, and the moment it is gone: from then on nothing that
// it mapped can be written by it. (A QEMU that handed the region to another process by itself, as
// vhost-user does with guest memory, is not seen through.)
#ifndef SMC_STEER_BROKER_PEER_PROCESS_H
#define SMC_STEER_BROKER_PEER_PROCESS_H

#include <sys/types.h>

#include <cstdint>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

struct PeerProcess {
    pid_t pid = 0;  // 0: in a PID namespace that we do not see into
    uid_t uid = 0;
    uint64_t started = 0;  // clock ticks after boot; 0: not known
    UniqueFd pidfd;        // readable when the process is gone; invalid: cannot tell
};

// Who called connect().
Result<PeerProcess> peer_of(int socket);

enum class Liveness { kGone, kThere, kUnknown };

// The process that was known by pid and start time. kThere: `pidfd` watches it.
Liveness find_process(pid_t pid, uint64_t started, UniqueFd& pidfd);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_PEER_PROCESS_H
