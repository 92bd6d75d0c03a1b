// SPDX-License-Identifier: Apache-2.0
// Does the kernel's net/smc bound what it reads from memory that its peers write?
#ifndef SMC_STEER_AGENT_KERNEL_SMC_BOUNDS_H
#define SMC_STEER_AGENT_KERNEL_SMC_BOUNDS_H

#include <string>
#include <string_view>

namespace smc_steer {

// A read-only parameter of the module, which no other net/smc has. Of the module that is loaded:
// a newer one on disk says nothing about it.
inline constexpr const char* kSmcBoundedFile = "/sys/module/smc/parameters/bounded";

// "Y", or the number of a version from 1 on. Pure.
bool says_bounded(std::string_view content);

// Loads the module on the way, where it is to be had (a socket of a family asks for its module).
bool smc_bounds_peer_memory(const std::string& file = kSmcBoundedFile);

// What to say where may_steer_to_smc() (agent/policy/trust.h) says no: one line.
std::string not_trusted(const std::string& kernel);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_BOUNDS_H
