// SPDX-License-Identifier: Apache-2.0
// Who holds which chunk. The truth is in this process: the header, which every guest could scribble
// on, only shows it.
#ifndef SMC_STEER_BROKER_LEASES_H
#define SMC_STEER_BROKER_LEASES_H

#include <ivpci/shm_abi.h>

#include <cstdint>
#include <vector>

namespace smc_steer::broker {

class Leases {
public:
    // `words`: the header's leases[chunks], which must outlive this. All chunks start free.
    Leases(__u32* words, uint32_t chunks) : words_(words), chunks_(chunks) {}

    // Leases up to `wanted` free chunks, the lowest first. Returns how many.
    uint32_t take(uint32_t slot, uint32_t generation, uint32_t wanted);

    // Frees a chunk its holder gives back: false if it is not a (living) lease of `slot`.
    bool give_back(uint32_t slot, uint32_t chunk);

    // Takes all living leases of `slot` out of use. They read ivpci_lease(slot, 0) from then on:
    // no slot has generation 0, so a writer that claims one of their DMBs now, and looks at the
    // lease after its claim as it must, is refused. Returns how many are condemned in all.
    uint32_t condemn(uint32_t slot);

    // Frees all condemned leases of `slot`. Returns how many.
    uint32_t free_condemned(uint32_t slot);

    [[nodiscard]] uint32_t held(uint32_t slot) const { return count(slot, false); }
    [[nodiscard]] uint32_t condemned(uint32_t slot) const { return count(slot, true); }
    [[nodiscard]] uint32_t free() const { return count(0, false); }

private:
    struct Chunk {
        uint32_t slot = 0;  // 0: free
        bool condemned = false;
    };
    [[nodiscard]] uint32_t count(uint32_t slot, bool condemned) const;
    void set(uint32_t chunk, Chunk to, uint32_t generation);

    __u32* words_;
    std::vector<Chunk> chunks_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_LEASES_H
