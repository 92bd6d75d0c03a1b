// SPDX-License-Identifier: Apache-2.0
#include "broker/leases.h"

#include <algorithm>

#include "broker/shared.h"

namespace smc_steer::broker {

void Leases::set(uint32_t chunk, Chunk to, uint32_t generation) {
    chunks_[chunk] = to;
    store_relaxed(words_[chunk], to.slot == 0 ? 0U : ivpci_lease(to.slot, generation));
}

uint32_t Leases::take(uint32_t slot, uint32_t generation, uint32_t wanted) {
    uint32_t taken = 0;
    for (uint32_t c = 0; c < chunks_.size() && taken < wanted; ++c) {
        if (chunks_[c].slot == 0) {
            set(c, Chunk{slot, false}, generation);
            ++taken;
        }
    }
    return taken;
}

bool Leases::give_back(uint32_t slot, uint32_t chunk) {
    if (chunk >= chunks_.size() || chunks_[chunk].slot != slot || chunks_[chunk].condemned) {
        return false;
    }
    set(chunk, Chunk{}, 0);
    return true;
}

uint32_t Leases::condemn(uint32_t slot) {
    uint32_t all = 0;
    for (uint32_t c = 0; c < chunks_.size(); ++c) {
        if (chunks_[c].slot == slot) {
            set(c, Chunk{slot, true}, 0);
            ++all;
        }
    }
    return all;
}

uint32_t Leases::free_condemned(uint32_t slot) {
    uint32_t freed = 0;
    for (uint32_t c = 0; c < chunks_.size(); ++c) {
        if (chunks_[c].slot == slot && chunks_[c].condemned) {
            set(c, Chunk{}, 0);
            ++freed;
        }
    }
    return freed;
}

uint32_t Leases::count(uint32_t slot, bool condemned) const {
    return static_cast<uint32_t>(std::count_if(
        chunks_.begin(), chunks_.end(),
        [&](const Chunk& chunk) { return chunk.slot == slot && chunk.condemned == condemned; }));
}

}  // namespace smc_steer::broker
