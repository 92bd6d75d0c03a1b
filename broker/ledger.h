// SPDX-License-Identifier: Apache-2.0
// What the broker believes, in memory that outlives it and that no guest has: the header, which
// every guest could scribble on, only shows it. A successor that maps the ledger knows all members
// and what each of them was told.
//
// The broker can be killed between any two stores. So: the ledger is written before the header,
// each word once per step, and whoever takes a ledger over finishes the step (Membership's
// constructor): a condemned lease is freed by one store, hence once.
#ifndef SMC_STEER_BROKER_LEDGER_H
#define SMC_STEER_BROKER_LEDGER_H

#include <ivpci/shm_abi.h>

#include <span>

#include "agent/base/result.h"
#include "broker/identity.h"

namespace smc_steer::broker {

constexpr uint64_t kLedgerMagic = 0x3352474c43505649;  // "IVPCLGR3" in memory

// What a client knows of a slot: its first `vectors` doorbells.
struct Told {
    uint32_t vectors;
};

struct LedgerSlot {
    uint32_t state;  // ivpci_slot_state
    uint32_t generation;
    uint32_t ack_seq;
    uint32_t serial;  // counts the slot's connections
    // The process that connected; pid 0: not known.
    int32_t pid;
    uint32_t uid;
    uint64_t started;  // field 22 of /proc/PID/stat, so that another process of that pid is another
    // Its connection is gone, and its process may still have the region mapped: the slot is nobody
    // else's until that process is gone, too.
    uint32_t held;
    // A former broker's member, whose socket and doorbells went with that broker.
    uint32_t relearned;
    uint32_t era;  // Ledger::era when it connected
    uint32_t reserved;
    uint32_t greeted;  // messages of the introduction that were sent
    uint32_t sending;  // a message is on its way: whether it was sent is not known
    Told broker;
    Told peer[IVPCI_SLOTS_MAX + 1];
};

struct Ledger {
    uint64_t magic;  // written last
    uint64_t size;
    uint32_t slots;
    uint32_t vectors;
    uint32_t chunks;
    uint32_t era;  // ivpci_header.era
    Uuid uuid;
    LedgerSlot slot[IVPCI_SLOTS_MAX + 1];
    uint32_t chunk[];  // [chunks]: 0 is free, else slot, or slot | kCondemned

    [[nodiscard]] std::span<uint32_t> chunk_words() { return {chunk, chunks}; }
    // A peer that others can be told of: connected to this broker.
    [[nodiscard]] bool reachable(uint32_t s) const {
        return slot[s].state != IVPCI_SLOT_EMPTY && slot[s].relearned == 0;
    }
};

constexpr uint32_t kCondemned = 0x100;

constexpr uint64_t ledger_size(const ivpci_layout& layout) {
    return sizeof(Ledger) + uint64_t{layout.chunks} * sizeof(uint32_t);
}

// Of an empty region; the memory must be zero.
void init_ledger(Ledger& ledger, const ivpci_layout& layout, uint32_t vectors, const Uuid& uuid);

// Is it the ledger of such a region? No guest writes it, but a person may have mixed up files.
Result<void> check_ledger(const Ledger& ledger, const ivpci_layout& layout, uint32_t vectors);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_LEDGER_H
