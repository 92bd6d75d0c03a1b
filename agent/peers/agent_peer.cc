// SPDX-License-Identifier: Apache-2.0
#include "agent/peers/agent_peer.h"

namespace smc_steer {

std::map<std::uint32_t, AgentPeer> agent_peers(const SameHost& same_host,
                                               std::uint16_t PeerRef::*port) {
    std::map<std::uint32_t, AgentPeer> peers;
    for (const auto& [address, ref] : same_host.addresses) {
        if (ref.*port) {
            auto& peer = peers[ref.slot];
            peer.generation = ref.generation;
            peer.port = ref.*port;
            peer.addresses.push_back(address);
        }
    }
    return peers;
}

}  // namespace smc_steer
