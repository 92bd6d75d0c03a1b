// SPDX-License-Identifier: Apache-2.0
#include "broker/claims.h"

namespace smc_steer::broker {

void ClaimWatch::start(const RegionView& view, uint32_t owner, const LiveGeneration& live) {
    owner_ = owner;
    claims_.clear();
    // Between the stores that end the owner's generation and the loads of the claims; pairs with
    // the writer's barrier between its claim and its look at the lease.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (uint32_t writer = 1; writer <= view.layout.slots; ++writer) {
        uint32_t generation = live(writer);
        if (writer == owner || generation == 0) {
            continue;
        }
        __u32* words = view.claims(writer, owner);
        for (uint32_t index = 0; index < IVPCI_DMBS; ++index) {
            uint32_t serial = load_acquire(words[index]);
            if (serial != 0) {
                claims_.push_back(Claim{writer, generation, index, serial});
            }
        }
    }
}

bool ClaimWatch::resolved(const RegionView& view, const LiveGeneration& live) {
    std::erase_if(claims_, [&](const Claim& claim) {
        // Acquire: the writer's last stores into the DMB happened before it let go.
        return live(claim.writer) != claim.generation ||
               load_acquire(view.claims(claim.writer, owner_)[claim.index]) != claim.serial;
    });
    return claims_.empty();
}

}  // namespace smc_steer::broker
