// SPDX-License-Identifier: Apache-2.0
#include "broker/identity.h"

namespace smc_steer::broker {

uint64_t region_hash(const Uuid& uuid) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (uint8_t byte : uuid) {
        hash = (hash ^ byte) * 0x100000001b3ULL;
    }
    return hash;
}

uint64_t make_gid(uint64_t hash, uint32_t slot, uint32_t generation) {
    // The top byte is not 0 and not touched by what follows.
    const uint32_t own = static_cast<uint32_t>(hash >> 32) | 0x01000000;
    const uint32_t half = own ^ ((slot & 0xff) << 16 | (generation & 0xffff));
    return static_cast<uint64_t>(half) << 32 | __builtin_bswap32(half);
}

uint16_t make_fabric_id(uint64_t hash) {
    constexpr uint64_t kFirst = 0x0100;
    constexpr uint64_t kLast = 0xfeff;
    return static_cast<uint16_t>(kFirst + hash % (kLast - kFirst + 1));
}

}  // namespace smc_steer::broker
