// SPDX-License-Identifier: Apache-2.0
// Which addresses are on this host: from peers' bulletins to the datapath's map. Pure.
#ifndef SMC_STEER_AGENT_PEERS_SAME_HOST_H
#define SMC_STEER_AGENT_PEERS_SAME_HOST_H

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "agent/kernel/address.h"
#include "agent/peers/peer_table.h"
#include "agent/policy/cidr.h"

namespace smc_steer {

struct PeerRef {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::uint16_t link_port = 0;
    std::uint16_t offload_port = 0;
    bool linked = false;  // not known to same_host_of()

    bool operator==(const PeerRef&) const = default;
};

struct SameHost {
    std::map<Address, PeerRef> addresses;
    // Published by two peers or more: a private range used twice, or a liar. In doubt TCP.
    std::set<Address> disputed;
};

// Only LIVE peers with an agent count; our own addresses never do, nor those no other
// machine can have (loopback, link-local, multicast), nor `local` networks, whose addresses are
// other machines in each guest.
SameHost same_host_of(const PeerTable& peers, const std::set<Address>& own,
                      const std::vector<Cidr>& local = {});

struct SameHostDiff {
    std::vector<Address> remove;
    std::vector<std::pair<Address, PeerRef>> put;  // new, or of another peer now
};
SameHostDiff diff(const std::map<Address, PeerRef>& before,
                  const std::map<Address, PeerRef>& after);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_PEERS_SAME_HOST_H
