// SPDX-License-Identifier: Apache-2.0
// Who is in the region, from one look at it to the next.
#ifndef SMC_STEER_AGENT_PEERS_PEER_TABLE_H
#define SMC_STEER_AGENT_PEERS_PEER_TABLE_H

#include <cstdint>
#include <map>

#include "agent/peers/region.h"

namespace smc_steer {

struct Peer {
    Membership membership;
    Bulletin bulletin;

    bool operator==(const Peer&) const = default;
};

// By slot number.
using PeerTable = std::map<std::uint32_t, Peer>;

// All slots in use but `own_slot`. A bulletin that cannot be read just now stays as `last` has
// it while the peer's generation is the same; a new generation starts empty. Bulletins of
// slots that are not LIVE are empty.
PeerTable read_peers(const RegionView& region, std::uint32_t own_slot, const PeerTable& last);

// "EMPTY", "CONNECTED", "LIVE", or the number
std::string slot_state_name(std::uint32_t state);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_PEERS_PEER_TABLE_H
