// SPDX-License-Identifier: Apache-2.0
// Enterprise ids: members of a region must share one, or SMC-Dv2 does not happen.
#ifndef SMC_STEER_AGENT_KERNEL_EID_H
#define SMC_STEER_AGENT_KERNEL_EID_H

#include <array>
#include <cstdint>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

// "SMC-STEER-" and the first 8 bytes of the region's UUID as 16 upper-case hex digits:
// the same in every guest of a region, different between regions.
std::string eid_of_region(const std::array<std::uint8_t, 16>& uuid);

// The kernel's rule, smc_clc_ueid_valid() in net/smc/smc_clc.c: 1 to 32 characters of
// A-Z 0-9 . -, the first one a letter or a digit.
Result<void> check_eid(const std::string& eid);

// `eid` filled with blanks to the 32 characters the kernel wants.
std::string pad_eid(const std::string& eid);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_EID_H
