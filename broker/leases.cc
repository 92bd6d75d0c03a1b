// SPDX-License-Identifier: Apache-2.0
#include "broker/leases.h"

#include <algorithm>

#include "broker/shared.h"

namespace smc_steer::broker {

// The truth first: what is shown can be made again from it.
void Leases::set(uint32_t chunk, uint32_t to, uint32_t generation) {
    store_relaxed(chunks_[chunk], to);
    store_relaxed(words_[chunk], to == 0 ? 0U : ivpci_lease(to & ~kCondemned, generation));
}

uint32_t Leases::show_all(const std::function<uint32_t(uint32_t)>& generation) {
    uint32_t wrong = 0;
    for (uint32_t c = 0; c < chunks_.size(); ++c) {
        uint32_t slot = chunks_[c] & ~kCondemned;
        uint32_t of = chunks_[c] == slot ? generation(slot) : 0;
        wrong += put_right(words_[c], __u32{slot == 0 ? 0U : ivpci_lease(slot, of)});
    }
    return wrong;
}

uint32_t Leases::take(uint32_t slot, uint32_t generation, uint32_t wanted) {
    uint32_t taken = 0;
    for (uint32_t c = 0; c < chunks_.size() && taken < wanted; ++c) {
        if (chunks_[c] == 0) {
            set(c, slot, generation);
            ++taken;
        }
    }
    return taken;
}

bool Leases::give_back(uint32_t slot, uint32_t chunk) {
    if (chunk >= chunks_.size() || chunks_[chunk] != slot) {
        return false;
    }
    set(chunk, 0, 0);
    return true;
}

uint32_t Leases::condemn(uint32_t slot) {
    uint32_t all = 0;
    for (uint32_t c = 0; c < chunks_.size(); ++c) {
        if ((chunks_[c] & ~kCondemned) == slot) {
            set(c, slot | kCondemned, 0);
            ++all;
        }
    }
    return all;
}

uint32_t Leases::free_condemned(uint32_t slot) {
    uint32_t freed = 0;
    for (uint32_t c = 0; c < chunks_.size(); ++c) {
        if (chunks_[c] == (slot | kCondemned)) {
            set(c, 0, 0);
            ++freed;
        }
    }
    return freed;
}

uint32_t Leases::count(uint32_t word) const {
    return static_cast<uint32_t>(std::count(chunks_.begin(), chunks_.end(), word));
}

}  // namespace smc_steer::broker
