// SPDX-License-Identifier: Apache-2.0
#include "broker/ledger.h"

#include "broker/shared.h"

namespace smc_steer::broker {

void init_ledger(Ledger& ledger, const ivpci_layout& layout, uint32_t vectors, const Uuid& uuid) {
    ledger.size = layout.size;
    ledger.slots = layout.slots;
    ledger.vectors = vectors;
    ledger.chunks = layout.chunks;
    ledger.uuid = uuid;
    store_release(ledger.magic, kLedgerMagic);
}

Result<void> check_ledger(const Ledger& ledger, const ivpci_layout& layout, uint32_t vectors) {
    if (ledger.magic != kLedgerMagic) {
        return fail("it is not a ledger of this version");
    }
    if (ledger.size != layout.size || ledger.slots != layout.slots || ledger.vectors != vectors ||
        ledger.chunks != layout.chunks) {
        return fail("the region has {} bytes, {} slots, {} vectors, and {}, {}, {} are asked for",
                    ledger.size, ledger.slots, ledger.vectors, layout.size, layout.slots, vectors);
    }
    for (uint32_t s = 0; s <= IVPCI_SLOTS_MAX; ++s) {
        const LedgerSlot& slot = ledger.slot[s];
        bool exists = s != 0 && s <= ledger.slots;
        if (slot.state > IVPCI_SLOT_LIVE || (!exists && slot.state != IVPCI_SLOT_EMPTY) ||
            slot.generation >> 24 != 0) {
            return fail("slot {} makes no sense", s);
        }
    }
    for (uint32_t c = 0; c < ledger.chunks; ++c) {
        uint32_t holder = ledger.chunk[c] & ~kCondemned;
        if (holder > ledger.slots || ledger.chunk[c] == kCondemned) {
            return fail("the lease of chunk {} makes no sense", c);
        }
    }
    return {};
}

}  // namespace smc_steer::broker
