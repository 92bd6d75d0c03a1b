// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "agent/peers/own_addresses.h"
#include "agent/peers/same_host.h"

namespace smc_steer {
namespace {

Address parsed(const char* text) { return *Address::parse(text); }

Peer peer(std::uint32_t generation, std::vector<Address> addresses) {
    return {{IVPCI_SLOT_LIVE, generation, 1}, {1, "peer", std::move(addresses)}};
}

TEST(AgentSameHost, LivePeersWithAnAgentCount) {
    PeerTable peers{{2, peer(5, {parsed("10.0.0.2"), parsed("fd00::2")})},
                    {3, peer(1, {parsed("10.0.0.3")})},
                    {4, peer(1, {parsed("10.0.0.4")})}};
    peers[3].membership.state = IVPCI_SLOT_CONNECTED;
    peers[4].bulletin.agent_version = 0;
    auto set = same_host_of(peers, {});
    ASSERT_EQ(set.addresses.size(), 2U);
    EXPECT_EQ(set.addresses.at(parsed("10.0.0.2")), (PeerRef{2, 5}));
    EXPECT_EQ(set.addresses.at(parsed("fd00::2")), (PeerRef{2, 5}));
}

TEST(AgentSameHost, OurOwnAndUnreachableAddressesNeverCount) {
    PeerTable peers{
        {2, peer(1, {parsed("10.0.0.1"), parsed("127.0.0.1"), parsed("169.254.1.1"),
                     parsed("0.0.0.0"), parsed("224.0.0.1"), parsed("255.255.255.255"),
                     parsed("::"), parsed("::1"), parsed("fe80::1"), parsed("ff02::1")})}};
    EXPECT_TRUE(same_host_of(peers, {parsed("10.0.0.1")}).addresses.empty());
}

TEST(AgentSameHost, AnAddressOfTwoPeersIsNobodys) {
    PeerTable peers{{2, peer(1, {parsed("172.17.0.1"), parsed("10.0.0.2")})},
                    {3, peer(1, {parsed("172.17.0.1"), parsed("10.0.0.3")})},
                    {4, peer(1, {parsed("172.17.0.1")})}};
    auto set = same_host_of(peers, {});
    EXPECT_EQ(set.addresses.size(), 2U);
    EXPECT_EQ(set.disputed, std::set<Address>{parsed("172.17.0.1")});
}

// docker's default bridge in both guests: each has its own containers there, and only TCP between
// them and whoever they reach.
TEST(AgentSameHost, OurOwnWinsOverAPeersEqualAddress) {
    PeerTable peers{
        {2, peer(1, {parsed("172.17.0.1"), parsed("172.17.0.2"), parsed("172.17.0.3")})}};
    auto set = same_host_of(peers, {parsed("172.17.0.1"), parsed("172.17.0.2")});
    ASSERT_EQ(set.addresses.size(), 1U);
    EXPECT_TRUE(set.addresses.contains(parsed("172.17.0.3")));
    // A network that is another one in each guest is nobody's word, from no peer.
    EXPECT_TRUE(same_host_of(peers, {}, {*parse_cidr("172.17.0.0/16")}).addresses.empty());
}

TEST(AgentSameHost, AnAddressIsThePeersAgainWhenTheOtherOneIsGone) {
    PeerTable peers{{2, peer(1, {parsed("10.1.0.9")})}, {3, peer(1, {parsed("10.1.0.9")})}};
    EXPECT_TRUE(same_host_of(peers, {}).addresses.empty());
    peers[3].bulletin.addresses.clear();
    auto set = same_host_of(peers, {});
    EXPECT_TRUE(set.disputed.empty());
    EXPECT_EQ(set.addresses.at(parsed("10.1.0.9")).slot, 2U);
}

TEST(AgentSameHost, SaidTwiceByOnePeerIsNoDispute) {
    PeerTable peers{{2, peer(1, {parsed("10.0.0.2"), parsed("10.0.0.2")})}};
    auto set = same_host_of(peers, {});
    EXPECT_EQ(set.addresses.size(), 1U);
    EXPECT_TRUE(set.disputed.empty());
}

TEST(AgentSameHost, DiffIsWhatChanged) {
    std::map<Address, PeerRef> before{
        {parsed("10.0.0.1"), {1, 1}}, {parsed("10.0.0.2"), {2, 1}}, {parsed("10.0.0.3"), {3, 1}}};
    std::map<Address, PeerRef> after{
        {parsed("10.0.0.1"), {1, 1}}, {parsed("10.0.0.3"), {3, 2}}, {parsed("10.0.0.4"), {4, 1}}};
    auto changes = diff(before, after);
    EXPECT_EQ(changes.remove, std::vector<Address>{parsed("10.0.0.2")});
    ASSERT_EQ(changes.put.size(), 2U);
    EXPECT_EQ(changes.put[0].first, parsed("10.0.0.3"));
    EXPECT_EQ(changes.put[1].first, parsed("10.0.0.4"));
    EXPECT_TRUE(diff(after, after).put.empty());
    EXPECT_TRUE(diff(after, after).remove.empty());
}

TEST(AgentAddress, TextAndBack) {
    for (const char* text : {"10.1.2.3", "255.255.255.255", "fd00::1", "2001:db8::ff00:42:8329"}) {
        EXPECT_EQ(to_string(parsed(text)), text);
    }
    EXPECT_EQ(to_string(parsed("10.1.2.3"), 80), "10.1.2.3:80");
    EXPECT_EQ(to_string(parsed("fd00::1"), 80), "[fd00::1]:80");
    EXPECT_EQ(parsed("::ffff:10.1.2.3"), parsed("10.1.2.3"));
    EXPECT_FALSE(Address::parse("10.1.2"));
    EXPECT_FALSE(Address::parse("host"));
}

TEST(AgentOwnAddresses, PublishesWhatOthersCanReach) {
    InterfaceAddress good{parsed("10.0.0.1"), "eth0", IFA_F_PERMANENT, RT_SCOPE_UNIVERSE};
    auto with = [&](auto change) {
        auto entry = good;
        change(entry);
        return publishable({entry}, {{"docker0"}, {}}).size();
    };
    EXPECT_EQ(with([](auto&) {}), 1U);
    EXPECT_EQ(with([](auto& e) { e.interface = "docker0"; }), 0U);
    EXPECT_EQ(with([](auto& e) { e.flags |= IFA_F_TENTATIVE; }), 0U);
    EXPECT_EQ(with([](auto& e) { e.flags |= IFA_F_DADFAILED; }), 0U);
    EXPECT_EQ(with([](auto& e) { e.scope = RT_SCOPE_LINK; }), 0U);
    EXPECT_EQ(with([](auto& e) { e.scope = RT_SCOPE_HOST; }), 0U);
    EXPECT_EQ(with([](auto& e) { e.address = parsed("127.0.0.1"); }), 0U);
    EXPECT_EQ(with([](auto& e) { e.address = parsed("fe80::1"); }), 0U);
}

TEST(AgentOwnAddresses, ANetworkCanBeLeftOut) {
    InterfaceAddress pod{parsed("172.17.0.2"), "eth0", IFA_F_PERMANENT, RT_SCOPE_UNIVERSE};
    EXPECT_EQ(publishable({pod}, {{}, {*parse_cidr("172.17.0.0/16")}}).size(), 0U);
    EXPECT_EQ(publishable({pod}, {{}, {*parse_cidr("10.0.0.0/8")}}).size(), 1U);
    GuestAddresses guest{
        {parsed("10.0.0.1")}, {parsed("10.0.0.1"), parsed("10.1.0.1")}, {pod.address}};
    EXPECT_EQ(guest.publishable(), 2U);
    EXPECT_EQ(guest.all().size(), 3U);
}

TEST(AgentOwnAddresses, WithoutRoomTheNodeComesFirstAndThenThosePublishedBefore) {
    GuestAddresses guest;
    guest.node = {parsed("192.168.0.1")};
    guest.others = {parsed("10.0.0.1"), parsed("10.0.0.2"), parsed("10.0.0.3")};
    auto first = choose_published(guest, {}, 3);
    EXPECT_EQ(first,
              (std::set<Address>{parsed("192.168.0.1"), parsed("10.0.0.1"), parsed("10.0.0.2")}));
    // One that comes takes nobody's place, though its address is a lower one ...
    guest.others.insert(parsed("10.0.0.0"));
    EXPECT_EQ(choose_published(guest, first, 3), first);
    // ... and gets the place of one that goes.
    guest.others.erase(parsed("10.0.0.2"));
    EXPECT_EQ(choose_published(guest, first, 3),
              (std::set<Address>{parsed("192.168.0.1"), parsed("10.0.0.1"), parsed("10.0.0.0")}));
    EXPECT_EQ(choose_published(guest, {}, 9).size(), 4U);
    EXPECT_TRUE(choose_published({}, first, 3).empty());
}

}  // namespace
}  // namespace smc_steer
