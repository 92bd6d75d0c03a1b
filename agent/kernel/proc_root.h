// SPDX-License-Identifier: Apache-2.0
// Where the machine's own /proc is. A container's has only its own processes, and its /proc/sys is
// read-only: there the machine's is mounted elsewhere, and $SMC_STEER_PROC says where.
#ifndef SMC_STEER_AGENT_KERNEL_PROC_ROOT_H
#define SMC_STEER_AGENT_KERNEL_PROC_ROOT_H

#include <cstdlib>
#include <string>

namespace smc_steer {

inline const std::string& proc_root() {
    static const std::string root = [] {
        const char* named = getenv("SMC_STEER_PROC");
        return std::string(named != nullptr && *named == '/' ? named : "/proc");
    }();
    return root;
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_PROC_ROOT_H
