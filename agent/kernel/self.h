// SPDX-License-Identifier: Apache-2.0
// Who this process is to BPF programs.
#ifndef SMC_STEER_AGENT_KERNEL_SELF_H
#define SMC_STEER_AGENT_KERNEL_SELF_H

#include <cstdint>

#include "agent/base/result.h"

namespace smc_steer {

// The process id in the initial pid namespace, by a BPF program that this process runs: no file of
// /proc says it to who is in a namespace of its own.
Result<std::uint32_t> tgid_in_kernel();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SELF_H
