// SPDX-License-Identifier: Apache-2.0
// What a client is to be told next. Nothing is queued: the next message follows from what is and
// what the client was told (QEMU's protocol, include/ivshmem/protocol.h). So a client that does not
// read costs no memory however much happens meanwhile, need not be dropped for it, and is told the
// present when it reads again; and a broker's successor goes on in mid-sentence.
#ifndef SMC_STEER_BROKER_NOTICES_H
#define SMC_STEER_BROKER_NOTICES_H

#include <optional>

#include "broker/ledger.h"

namespace smc_steer::broker {

struct Notice {
    enum class Carries { kNothing, kMemory, kDoorbell };
    int64_t value = 0;
    Carries carries = Carries::kNothing;
    uint32_t peer = 0;    // kDoorbell: whose; IVPCI_BROKER_SLOT is the broker's
    uint32_t vector = 0;  // kDoorbell: which
};

// Order: version, id, memory, the broker's doorbell, peers by slot, the client's own vectors.
//
// Nobody is told that a peer is gone. QEMU frees the doorbells of such a peer and writes into them
// when it hears of that id again (hw/misc/ivshmem.c, close_peer_eventfds(); seen to crash
// with 7.2). A slot's doorbells are its own for as long as the region lives: who knows them can
// ring whoever has the slot, and who is there is said in the region's header.
std::optional<Notice> next_notice(const Ledger& ledger, uint32_t client);

// Writes down that it was sent.
void was_told(Ledger& ledger, uint32_t client, const Notice& notice);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_NOTICES_H
