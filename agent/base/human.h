// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.
#ifndef SMC_STEER_AGENT_BASE_HUMAN_H
#define SMC_STEER_AGENT_BASE_HUMAN_H

#include <cstdint>
#include <string>

namespace smc_steer {

// "3.4 MiB"; below 1 KiB: "12 B". "2h05m", "3m07s", "4.2s".
std::string human_bytes(std::uint64_t bytes);
std::string human_time(double seconds);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_HUMAN_H
