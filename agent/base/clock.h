// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_AGENT_BASE_CLOCK_H
#define SMC_STEER_AGENT_BASE_CLOCK_H

#include <cstdint>
#include <ctime>

namespace smc_steer {

// CLOCK_MONOTONIC, which is also what bpf_ktime_get_ns() reads.
inline std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_CLOCK_H
