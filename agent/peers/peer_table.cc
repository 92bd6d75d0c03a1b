// SPDX-License-Identifier: Apache-2.0
#include "agent/peers/peer_table.h"

#include <fmt/format.h>

namespace smc_steer {

PeerTable read_peers(const RegionView& region, std::uint32_t own_slot, const PeerTable& last) {
    PeerTable peers;
    for (std::uint32_t slot = 1; slot <= region.layout.slots; slot++) {
        if (slot == own_slot) {
            continue;
        }
        Peer peer{read_slot(region, slot), {}};
        if (peer.membership.state == IVPCI_SLOT_EMPTY) {
            continue;
        }
        if (peer.membership.state == IVPCI_SLOT_LIVE) {
            auto before = last.find(slot);
            if (auto bulletin = read_bulletin(bulletin_of(region, slot))) {
                peer.bulletin = std::move(*bulletin);
            } else if (before != last.end() &&
                       before->second.membership.generation == peer.membership.generation) {
                peer.bulletin = before->second.bulletin;
            }
        }
        peers.emplace(slot, std::move(peer));
    }
    return peers;
}

std::string slot_state_name(std::uint32_t state) {
    switch (state) {
        case IVPCI_SLOT_EMPTY:
            return "EMPTY";
        case IVPCI_SLOT_CONNECTED:
            return "CONNECTED";
        case IVPCI_SLOT_LIVE:
            return "LIVE";
        default:
            return fmt::format("{}", state);
    }
}

}  // namespace smc_steer
