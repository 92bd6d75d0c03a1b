// SPDX-License-Identifier: Apache-2.0
// When is a dead member's memory nobody's any more? When every claim that was set on its DMBs at
// the moment of death has been let go.
//
// A claim word holds a DMB's serial only and does not say which generation of the owner it means.
// That is told apart by time: the broker takes the state away, makes the leases unclaimable, and
// after a full barrier writes down all claims it sees. A writer claims, full barrier, then looks at
// the lease (M. Michael's hazard pointers). So a claim that is not written down either finds the
// lease gone and is withdrawn, or belongs to a later generation: neither holds old memory. A
// written-down claim counts until its word has another value or its writer is not LIVE in the same
// generation. A new DMB that happens to have the same index and serial is taken for the old one:
// its memory is freed later, never too early.
//
// A hostile writer can keep the dead member's chunks from being reused by never letting go; that
// ends with its own membership.
#ifndef SMC_STEER_BROKER_CLAIMS_H
#define SMC_STEER_BROKER_CLAIMS_H

#include <cstdint>
#include <functional>
#include <vector>

#include "broker/shared.h"

namespace smc_steer::broker {

class ClaimWatch {
public:
    // Generation of a slot while it is LIVE, else 0.
    using LiveGeneration = std::function<uint32_t(uint32_t slot)>;

    // Writes down all claims on `owner`'s DMBs. The owner must be not LIVE and its leases condemned
    // already. At most slots * IVPCI_DMBS entries, whatever the guests write.
    void start(const RegionView& view, uint32_t owner, const LiveGeneration& live);

    // True once none of them is left.
    bool resolved(const RegionView& view, const LiveGeneration& live);

private:
    struct Claim {
        uint32_t writer;
        uint32_t generation;
        uint32_t index;
        uint32_t serial;
    };
    uint32_t owner_ = 0;
    std::vector<Claim> claims_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_CLAIMS_H
