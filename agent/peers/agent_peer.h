// SPDX-License-Identifier: Apache-2.0
// Where the agents of other guests take connections of ours. Pure.
#ifndef SMC_STEER_AGENT_PEERS_AGENT_PEER_H
#define SMC_STEER_AGENT_PEERS_AGENT_PEER_H

#include <cstdint>
#include <map>
#include <vector>

#include "agent/kernel/address.h"
#include "agent/peers/same_host.h"

namespace smc_steer {

struct AgentPeer {
    std::uint32_t generation = 0;
    std::uint16_t port = 0;
    std::vector<Address> addresses;  // at least one; tried in this order

    bool operator==(const AgentPeer&) const = default;
};

// By slot. `port`: of what they take; who takes nothing there is left out.
std::map<std::uint32_t, AgentPeer> agent_peers(const SameHost& same_host,
                                               std::uint16_t PeerRef::*port);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_PEERS_AGENT_PEER_H
