// SPDX-License-Identifier: Apache-2.0
// One sysctl as text.
#ifndef SMC_STEER_AGENT_KERNEL_SYSCTL_H
#define SMC_STEER_AGENT_KERNEL_SYSCTL_H

#include <string>

#include "agent/base/result.h"

namespace smc_steer {

// `name` with dots, "net.smc.wmem". net.* are those of the calling thread's network
// namespace. Without the newline.
Result<std::string> read_sysctl(const std::string& name);
// An empty value clears a string sysctl.
Result<void> write_sysctl(const std::string& name, const std::string& value);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SYSCTL_H
