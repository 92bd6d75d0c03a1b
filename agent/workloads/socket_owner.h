// SPDX-License-Identifier: Apache-2.0
// Which program has a socket open.
#ifndef SMC_STEER_AGENT_WORKLOADS_SOCKET_OWNER_H
#define SMC_STEER_AGENT_WORKLOADS_SOCKET_OWNER_H

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "agent/kernel/proc_root.h"

namespace smc_steer {

// Inode of a socket, as sock_diag has it -> names of the processes that have it open, as in
// /proc/PID/comm. Reads the descriptors of all processes: milliseconds for each thousand.
std::map<std::uint64_t, std::set<std::string>> socket_commands(
    const std::string& proc = proc_root());

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_WORKLOADS_SOCKET_OWNER_H
