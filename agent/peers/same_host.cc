// SPDX-License-Identifier: Apache-2.0
#include "agent/peers/same_host.h"

#include <algorithm>

namespace smc_steer {

SameHost same_host_of(const PeerTable& peers, const std::set<Address>& own,
                      const std::vector<Cidr>& local) {
    auto is_local = [&local](const Address& address) {
        return std::any_of(local.begin(), local.end(),
                           [&address](const Cidr& c) { return c.contains(address.in6); });
    };
    SameHost result;
    for (const auto& [slot, peer] : peers) {
        if (peer.membership.state != IVPCI_SLOT_LIVE || peer.bulletin.agent_version == 0) {
            continue;
        }
        PeerRef ref{slot, peer.membership.generation, peer.bulletin.link_port,
                    peer.bulletin.offload_port};
        for (const auto& address : peer.bulletin.addresses) {
            if (!address.is_global() || own.contains(address) || is_local(address)) {
                continue;
            }
            auto [entry, added] = result.addresses.try_emplace(address, ref);
            if (!added && entry->second != ref) {
                result.disputed.insert(address);
            }
        }
    }
    for (const auto& address : result.disputed) {
        result.addresses.erase(address);
    }
    return result;
}

SameHostDiff diff(const std::map<Address, PeerRef>& before,
                  const std::map<Address, PeerRef>& after) {
    SameHostDiff result;
    for (const auto& [address, ref] : before) {
        if (!after.contains(address)) {
            result.remove.push_back(address);
        }
    }
    for (const auto& [address, ref] : after) {
        auto old = before.find(address);
        if (old == before.end() || old->second != ref) {
            result.put.emplace_back(address, ref);
        }
    }
    return result;
}

}  // namespace smc_steer
