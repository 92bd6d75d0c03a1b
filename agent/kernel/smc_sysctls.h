// SPDX-License-Identifier: Apache-2.0
// SMC's settings of one network namespace: set on arrival, put back on leaving.
#ifndef SMC_STEER_AGENT_KERNEL_SMC_SYSCTLS_H
#define SMC_STEER_AGENT_KERNEL_SMC_SYSCTLS_H

#include <optional>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

struct SmcSysctls {
    std::string hs_ctrl;  // registered name; empty: the kernel has no such setting
    int wmem = 0;         // bytes, net.smc.wmem is raised to it, never lowered
    int rmem = 0;
    bool limit_handshakes = false;  // not a sysctl: SmcNetlink's
};

struct SavedSysctls {
    std::string hs_ctrl;      // what was in force before; empty: nothing
    std::optional<int> wmem;  // only where raised
    std::optional<int> rmem;
    bool limited = false;  // handshakes, by us
};

// Both run inside the namespace (run_in_netns()). A name of our own that is found in force
// was left by a crashed agent and counts as nothing.
Result<SavedSysctls> apply_sysctls(const SmcSysctls& wanted);

// Puts back what still has our value: what somebody changed meanwhile is theirs.
Result<void> restore_sysctls(const SmcSysctls& wanted, const SavedSysctls& saved);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_SYSCTLS_H
