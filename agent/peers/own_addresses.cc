// SPDX-License-Identifier: Apache-2.0
#include "agent/peers/own_addresses.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

namespace smc_steer {
namespace {

constexpr int kDumpTries = 8;

using Names = std::map<std::uint32_t, std::string>;

std::span<const std::uint8_t> payload(const nlattr& attribute) {
    return {static_cast<const std::uint8_t*>(mnl_attr_get_payload(&attribute)),
            mnl_attr_get_payload_len(&attribute)};
}

void read_link(const nlmsghdr& message, Names& names) {
    ifinfomsg info;
    if (message.nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(&message) < sizeof(info)) {
        return;
    }
    std::memcpy(&info, mnl_nlmsg_get_payload(&message), sizeof(info));
    for_each_attribute(message, sizeof(info), [&](int type, const nlattr& attribute) {
        if (type != IFLA_IFNAME) {
            return;
        }
        auto bytes = payload(attribute);
        const auto* text = reinterpret_cast<const char*>(bytes.data());
        names[info.ifi_index] = std::string(text, strnlen(text, bytes.size()));
    });
}

void read_address(const nlmsghdr& message, const Names& names,
                  std::vector<InterfaceAddress>& addresses) {
    ifaddrmsg info;
    if (message.nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(&message) < sizeof(info)) {
        return;
    }
    std::memcpy(&info, mnl_nlmsg_get_payload(&message), sizeof(info));
    if (info.ifa_family != AF_INET && info.ifa_family != AF_INET6) {
        return;
    }
    InterfaceAddress entry;
    entry.flags = info.ifa_flags;
    entry.scope = info.ifa_scope;
    if (auto name = names.find(info.ifa_index); name != names.end()) {
        entry.interface = name->second;
    }
    // On a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL ours; IPv6 has
    // IFA_LOCAL only there.
    std::optional<Address> local;
    for_each_attribute(message, sizeof(info), [&](int type, const nlattr& attribute) {
        if (type == IFA_ADDRESS) {
            entry.address = Address::from_bytes(payload(attribute));
        }
        if (type == IFA_LOCAL) {
            local = Address::from_bytes(payload(attribute));
        }
        if (type == IFA_FLAGS) {
            entry.flags = attribute_u32(attribute);
        }
    });
    if (local) {
        entry.address = *local;
    }
    addresses.push_back(std::move(entry));
}

Result<int> dump(NetlinkSocket& socket, std::uint16_t type, const NetlinkSocket::OnMessage& on) {
    NetlinkRequest request(type, NLM_F_DUMP);
    request.extra<rtgenmsg>().rtgen_family = AF_UNSPEC;
    return socket.talk(*request.header, on);
}

}  // namespace

std::set<Address> publishable(const std::vector<InterfaceAddress>& all,
                              const NotPublished& left_out) {
    std::set<Address> chosen;
    for (const auto& entry : all) {
        bool ready = (entry.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) == 0;
        if (ready && entry.scope < RT_SCOPE_LINK && entry.address.is_global() &&
            !left_out.interfaces.contains(entry.interface) &&
            std::none_of(left_out.networks.begin(), left_out.networks.end(),
                         [&entry](const Cidr& c) { return c.contains(entry.address.in6); })) {
            chosen.insert(entry.address);
        }
    }
    return chosen;
}

std::set<Address> GuestAddresses::all() const {
    auto all = node;
    all.insert(others.begin(), others.end());
    all.insert(left_out.begin(), left_out.end());
    return all;
}

std::size_t GuestAddresses::publishable() const {
    auto both = node;
    both.insert(others.begin(), others.end());
    return both.size();
}

std::set<Address> choose_published(const GuestAddresses& addresses,
                                   const std::set<Address>& published, std::size_t room) {
    std::set<Address> chosen;
    auto take = [&](const std::set<Address>& from, bool only_published) {
        for (const auto& address : from) {
            if (chosen.size() < room && (!only_published || published.contains(address))) {
                chosen.insert(address);
            }
        }
    };
    take(addresses.node, false);
    take(addresses.others, true);
    take(addresses.others, false);
    return chosen;
}

Result<OwnAddresses> OwnAddresses::open() {
    auto news =
        NetlinkSocket::open(NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
    if (!news) {
        return tl::unexpected(news.error());
    }
    auto ask = NetlinkSocket::open(NETLINK_ROUTE);
    if (!ask) {
        return tl::unexpected(ask.error());
    }
    return OwnAddresses(std::move(*news), std::move(*ask));
}

Result<std::vector<InterfaceAddress>> OwnAddresses::list() {
    Result<int> answer = EINTR;
    for (int i = 0; i < kDumpTries && answer && *answer == EINTR; i++) {
        Names names;
        std::vector<InterfaceAddress> addresses;
        answer = dump(ask_, RTM_GETLINK, [&](const nlmsghdr& m) { read_link(m, names); });
        if (!answer || *answer) {
            continue;
        }
        answer =
            dump(ask_, RTM_GETADDR, [&](const nlmsghdr& m) { read_address(m, names, addresses); });
        if (answer && *answer == 0) {
            return addresses;
        }
    }
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    return fail_errno(*answer, "cannot list the addresses of a network namespace");
}

}  // namespace smc_steer
