// SPDX-License-Identifier: Apache-2.0
// Who holds which chunk. The truth is in the ledger: the header, which every guest could scribble
// on, only shows it.
#ifndef SMC_STEER_BROKER_LEASES_H
#define SMC_STEER_BROKER_LEASES_H

#include <ivpci/shm_abi.h>

#include <cstdint>
#include <functional>
#include <span>

#include "broker/ledger.h"

namespace smc_steer::broker {

class Leases {
public:
    // `words`: the header's leases[], as many as `truth`, the ledger's. Both must outlive this.
    Leases(__u32* words, std::span<uint32_t> truth) : words_(words), chunks_(truth) {}

    // After a change of brokers, or of the words by a member: shows the leases again, `generation`
    // by slot. Returns how many were shown wrong.
    uint32_t show_all(const std::function<uint32_t(uint32_t slot)>& generation);

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

    [[nodiscard]] uint32_t held(uint32_t slot) const { return count(slot); }
    [[nodiscard]] uint32_t condemned(uint32_t slot) const { return count(slot | kCondemned); }
    [[nodiscard]] uint32_t free() const { return count(0); }

private:
    void set(uint32_t chunk, uint32_t to, uint32_t generation);
    [[nodiscard]] uint32_t count(uint32_t word) const;

    __u32* words_;
    std::span<uint32_t> chunks_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_LEASES_H
