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

namespace smc_steer {

struct InterfaceAddress {
    Address address;
    std::string interface;
    std::uint32_t flags = 0;  // IFA_F_*
    std::uint8_t scope = 0;   // RT_SCOPE_*
};

// Global scope, ready for use (IPv6: past duplicate address detection), not on one of
// `excluded` interfaces.
std::set<Address> publishable(const std::vector<InterfaceAddress>& all,
                              const std::set<std::string>& excluded);

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
