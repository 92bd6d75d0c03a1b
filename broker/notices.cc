// SPDX-License-Identifier: Apache-2.0
#include "broker/notices.h"

#include <ivshmem/protocol.h>

namespace smc_steer::broker {
namespace {

constexpr uint32_t kGreetings = 3;

Notice doorbell(uint32_t peer, uint32_t vector) {
    return Notice{peer, Notice::Carries::kDoorbell, peer, vector};
}

}  // namespace

std::optional<Notice> next_notice(const Ledger& ledger, uint32_t client) {
    const LedgerSlot& to = ledger.slot[client];
    switch (to.greeted) {
        case 0:
            return Notice{IVSHMEM_PROTOCOL_VERSION};
        case 1:
            return Notice{client};
        case 2:
            return Notice{IVSHMEM_MSG_SHM, Notice::Carries::kMemory};
        default:
            break;
    }
    if (to.broker.vectors == 0) {
        return doorbell(IVPCI_BROKER_SLOT, 0);
    }
    for (uint32_t peer = 1; peer <= ledger.slots; ++peer) {
        if (peer == client) {
            continue;
        }
        const uint32_t known = to.peer[peer].vectors;
        if (ledger.reachable(peer) && known < ledger.vectors) {
            return doorbell(peer, known);
        }
    }
    if (to.peer[client].vectors < ledger.vectors) {
        return doorbell(client, to.peer[client].vectors);
    }
    return std::nullopt;
}

void was_told(Ledger& ledger, uint32_t client, const Notice& notice) {
    LedgerSlot& to = ledger.slot[client];
    if (to.greeted < kGreetings) {
        ++to.greeted;
        return;
    }
    Told& told = notice.peer == IVPCI_BROKER_SLOT ? to.broker : to.peer[notice.peer];
    told.vectors = notice.vector + 1;
}

}  // namespace smc_steer::broker
