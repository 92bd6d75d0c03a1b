// SPDX-License-Identifier: Apache-2.0
// Which kernels may join sockets by sockmap and sk_msg: a table of bugs, by version.
#ifndef SMC_STEER_AGENT_KERNEL_SOCKMAP_GATE_H
#define SMC_STEER_AGENT_KERNEL_SOCKMAP_GATE_H

#include <optional>
#include <string>

namespace smc_steer {

// What is wrong with it, and since when it is not; none: nothing that hurts memory is known.
// `release` and `version` as uname(2) has them: Debian's release says 6.1.0 whatever stable release
// it is, which stands in its version. A version that cannot be read is refused. Pure.
std::optional<std::string> sockmap_refused(const std::string& release, const std::string& version);

// Of this machine.
std::optional<std::string> sockmap_refused();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SOCKMAP_GATE_H
