// SPDX-License-Identifier: Apache-2.0
// The addresses of one network namespace that other guests can reach it under.
#ifndef SMC_STEER_AGENT_PEERS_OWN_ADDRESSES_H
#define SMC_STEER_AGENT_PEERS_OWN_ADDRESSES_H

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/kernel/address.h"
#include "agent/kernel/netlink.h"
#include "agent/policy/cidr.h"

namespace smc_steer {

struct InterfaceAddress {
    Address address;
    std::string interface;
    std::uint32_t flags = 0;  // IFA_F_*
    std::uint8_t scope = 0;   // RT_SCOPE_*
};

// What operators leave out, as nobody reaches it from another guest.
struct NotPublished {
    std::set<std::string> interfaces;
    std::vector<Cidr> networks;
};

// Global scope, ready for use (IPv6: past duplicate address detection), not left out.
std::set<Address> publishable(const std::vector<InterfaceAddress>& all,
                              const NotPublished& left_out);

// Those of a guest: of the namespace its agent is in, and of the other ones, pods' above all.
struct GuestAddresses {
    std::set<Address> node;
    std::set<Address> others;
    std::set<Address> left_out;  // ours all the same: no peer's word about them counts

    bool operator==(const GuestAddresses&) const = default;
    std::set<Address> all() const;
    std::size_t publishable() const;
};

// At most `room` of them: the node's first, then those `published` before, so that a pod that
// comes takes no other pod's place, then the others, each in the order of addresses.
std::set<Address> choose_published(const GuestAddresses& addresses,
                                   const std::set<Address>& published, std::size_t room);

class OwnAddresses {
public:
    // In the calling thread's network namespace.
    static Result<OwnAddresses> open();

    // Readable when interfaces or addresses have changed.
    int fd() const { return news_.fd(); }
    void drain() { news_.drain(); }

    Result<std::vector<InterfaceAddress>> list();

private:
    OwnAddresses(NetlinkSocket news, NetlinkSocket ask)
        : news_(std::move(news)), ask_(std::move(ask)) {}

    NetlinkSocket news_;
    NetlinkSocket ask_;  // apart: an answer must not mix with news
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_PEERS_OWN_ADDRESSES_H
