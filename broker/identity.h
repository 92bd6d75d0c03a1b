// SPDX-License-Identifier: Apache-2.0
// Who a region and its members are to SMC: GIDs and the fabric id (CHID), made from the region's
// UUID so that two regions on one host do not look like one.
#ifndef SMC_STEER_BROKER_IDENTITY_H
#define SMC_STEER_BROKER_IDENTITY_H

#include <array>
#include <cstdint>

namespace smc_steer::broker {

using Uuid = std::array<uint8_t, 16>;

// FNV-1a, 64 bits: spreads random UUIDs evenly, which is all that is asked of it.
uint64_t region_hash(const Uuid& uuid);

// The same in both byte orders, since SMC of Linux 6.1 on x86 tells its GID now in one and now in
// the other (docs/COMPATIBILITY.md): 32 bits, then the same with their bytes reversed. The 32 bits
// are region_hash's top ones, changed by slot (8 bits) and generation (low 16 bits). Never 0.
uint64_t make_gid(uint64_t hash, uint32_t slot, uint32_t generation);

// 0x0100..0xFEFF: what lies above means "emulated" to newer kernels, and 6.1 does not know that.
uint16_t make_fabric_id(uint64_t hash);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_IDENTITY_H
