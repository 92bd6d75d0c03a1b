// SPDX-License-Identifier: Apache-2.0
// The pure parts of agent/kernel: flows, statistics, names, features.
#include <gtest/gtest.h>

#include <algorithm>

#include "agent/kernel/features.h"
#include "agent/kernel/flows.h"
#include "agent/kernel/smc_reasons.h"
#include "agent/kernel/smc_totals.h"
#include "agent/kernel/struct_ops.h"

namespace smc_steer {
namespace {

Address addr(const char* text) { return *Address::parse(text); }

SocketAddresses between(const char* local, std::uint16_t local_port, const char* peer,
                        std::uint16_t peer_port) {
    return {addr(local), addr(peer), local_port, peer_port};
}

// As smc_diag shows a steered socket: ports only.
SmcSocket steered(std::uint16_t local_port, std::uint16_t peer_port, SmcMode mode) {
    SmcSocket socket;
    socket.addresses = between("0.0.0.0", local_port, "0.0.0.0", peer_port);
    socket.mode = mode;
    socket.inode = 1;
    return socket;
}

bool ten(const Address& address) { return address == addr("10.0.0.2"); }

TEST(AgentFlows, SmcSocketsTakeTheirInnerSocketsAddresses) {
    auto flows = join_flows({steered(5000, 80, SmcMode::smcd)},
                            {{between("10.0.0.1", 5000, "10.0.0.2", 80), 0, 2}}, ten);
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].mode, FlowMode::smcd);
    EXPECT_EQ(to_string(flows[0].addresses.peer, flows[0].addresses.peer_port), "10.0.0.2:80");
    EXPECT_EQ(flows[0].inode, 1U);
}

TEST(AgentFlows, OnlySameHostTcpCounts) {
    auto flows = join_flows({},
                            {{between("10.0.0.1", 1, "10.0.0.2", 80), 0, 1},
                             {between("10.0.0.1", 1, "192.0.2.1", 80), 0, 2}},
                            ten);
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].mode, FlowMode::tcp);
}

TEST(AgentFlows, FallbacksToOthersAreNotOurs) {
    auto flows = join_flows({steered(1, 80, SmcMode::fallback), steered(2, 80, SmcMode::fallback)},
                            {{between("10.0.0.1", 1, "10.0.0.2", 80), 0, 1},
                             {between("10.0.0.1", 2, "192.0.2.1", 80), 0, 2}},
                            ten);
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].mode, FlowMode::fallback);
    EXPECT_EQ(flows[0].addresses.local_port, 1);
}

TEST(AgentFlows, TwinsByPortsKeepTheTotals) {
    // A server's two clients happen to use the same source port.
    std::vector<SmcSocket> smc{steered(80, 4000, SmcMode::smcd), steered(80, 4000, SmcMode::smcd)};
    std::vector<TcpSocket> tcp{{between("10.0.0.1", 80, "10.0.0.2", 4000), 0, 1},
                               {between("10.0.0.1", 80, "10.0.0.3", 4000), 0, 2},
                               {between("fd00::1", 80, "10.0.0.2", 4000), 0, 3}};
    auto flows = join_flows(smc, tcp, ten);
    ASSERT_EQ(flows.size(), 3U);
    EXPECT_EQ(std::count_if(flows.begin(), flows.end(),
                            [](const Flow& f) { return f.mode == FlowMode::smcd; }),
              2);
    EXPECT_NE(flows[0].addresses, flows[1].addresses);
}

TEST(AgentFlows, KnownAddressesDecideBetweenTwins) {
    SmcSocket af_smc = steered(80, 4000, SmcMode::smcd);
    af_smc.addresses = between("10.0.0.1", 80, "10.0.0.3", 4000);
    auto flows = join_flows({af_smc},
                            {{between("10.0.0.1", 80, "10.0.0.2", 4000), 0, 1},
                             {between("10.0.0.1", 80, "10.0.0.3", 4000), 0, 2}},
                            ten);
    ASSERT_EQ(flows.size(), 2U);
    EXPECT_EQ(flows[0].addresses.peer, addr("10.0.0.3"));
    EXPECT_EQ(flows[1].mode, FlowMode::tcp);
    EXPECT_EQ(flows[1].addresses.peer, addr("10.0.0.2"));
}

TEST(AgentFlows, SmcdWithoutItsTcpSocketStillCounts) {
    auto flows =
        join_flows({steered(1, 80, SmcMode::smcd), steered(2, 80, SmcMode::fallback)}, {}, ten);
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].mode, FlowMode::smcd);
}

TEST(AgentFlows, AFallbacksBytesAreItsTcpSockets) {
    SmcSocket smcd = steered(1, 80, SmcMode::smcd);
    smcd.bytes = {100, 200};
    TcpSocket inner{between("10.0.0.1", 1, "10.0.0.2", 80), 0, 1, {7, 8}, 42, 1000};
    auto flow = join_flows({smcd}, {inner}, ten).at(0);
    EXPECT_EQ(flow.bytes, (Transferred{100, 200}));
    EXPECT_EQ(flow.cgroup, 42U);
    EXPECT_EQ(flow.established_ns, 1000U);
    EXPECT_EQ(join_flows({steered(1, 80, SmcMode::fallback)}, {inner}, ten).at(0).bytes,
              (Transferred{7, 8}));
    EXPECT_EQ(join_flows({}, {inner}, ten).at(0).bytes, (Transferred{7, 8}));
}

TEST(AgentStats, TotalsGrowByTheDifference) {
    SmcStats then, now;
    then.smcd_client = 10;
    then.smcd_server = 5;
    then.fallbacks_client[kReasonPeerNoSmc] = 7;
    now.smcd_client = 12;
    now.smcd_server = 6;
    now.handshake_errors = 1;
    now.fallbacks_client[kReasonPeerNoSmc] = 9;
    now.fallbacks_server[kReasonPeerNoSmc] = 1;
    now.fallbacks_client[0x03030008] = 4;
    SmcTotals totals;
    totals.add_growth(then, now);
    EXPECT_EQ(totals.smcd(), 3U);
    EXPECT_EQ(totals.handshake_errors, 1U);
    EXPECT_EQ(totals.not_agreed(), 3U);
    EXPECT_EQ(totals.failed(), 4U);
    totals.add_growth(now, now);
    EXPECT_EQ(totals.failed(), 4U);
}

TEST(AgentStats, SixteenBitCountersWrapAndTotalsDoNot) {
    SmcTotals totals;
    SmcStats then, now;
    for (int round = 0; round < 5; round++) {
        now.fallbacks_client[0x05000000] = static_cast<std::uint16_t>((round + 1) * 40000);
        totals.add_growth(then, now);
        then = now;
    }
    EXPECT_EQ(totals.fallbacks_client[0x05000000], 200000U);
}

TEST(AgentReasons, AreSpelledOut) {
    EXPECT_EQ(reason_name(0x03030008), "NOUEID");
    EXPECT_EQ(reason_text(0x03030008), "no common EID");
    EXPECT_EQ(reason_code(0x03030008), "0x03030008");
    EXPECT_EQ(reason_name(0x12345678), "UNKNOWN");
    EXPECT_EQ(reason_text(0x12345678), "");
    EXPECT_EQ(find_reason(0), nullptr);
}

TEST(AgentHandshakeName, TakesTheFreeOne) {
    EXPECT_EQ(choose_handshake_name({}).name, "smc_steer_a");
    EXPECT_EQ(choose_handshake_name({"smc_steer_a"}).name, "smc_steer_b");
    EXPECT_EQ(choose_handshake_name({"smc_steer_b"}).name, "smc_steer_a");
    EXPECT_FALSE(choose_handshake_name({"smc_steer_a"}).taken);
    auto both = choose_handshake_name({"smc_steer_b", "smc_steer_a"});
    EXPECT_TRUE(both.taken);
    EXPECT_TRUE(is_handshake_name(both.name));
    EXPECT_FALSE(is_handshake_name("linkcheck"));
}

// One thing missing at a time: the line names it and the remedy.
TEST(AgentFeatures, SaysTheFirstThingMissing) {
    Features all{"6.1.0", true, true, true, true, true, true};
    EXPECT_FALSE(missing_feature(all));
    auto without = [&](bool Features::*what) {
        Features f = all;
        f.*what = false;
        return missing_feature(f).value_or("(nothing)");
    };
    EXPECT_NE(without(&Features::hs_ctrl).find("kernel 6.1.0 has no smc_hs_ctrl: "),
              std::string::npos);
    EXPECT_NE(without(&Features::smc).find("has no SMC"), std::string::npos);
    EXPECT_NE(without(&Features::btf).find("CONFIG_DEBUG_INFO_BTF"), std::string::npos);
    EXPECT_NE(without(&Features::fmod_ret).find("CONFIG_MPTCP"), std::string::npos);
    EXPECT_NE(without(&Features::cgroup2).find("mount -t cgroup2"), std::string::npos);
    EXPECT_NE(without(&Features::capable).find("as root"), std::string::npos);
    // A kernel that makes no SMC sockets of what programs ask for has another way.
    for (bool Features::*what : {&Features::hs_ctrl, &Features::smc, &Features::fmod_ret}) {
        EXPECT_NE(without(what).find("'modprobe tcp_ivpci' brings the direct path"),
                  std::string::npos);
    }
    Features bare{"6.1.0", false, false, false, false, true, true};
    EXPECT_FALSE(missing_feature(bare, true)) << "the direct path needs neither SMC nor BPF";
    for (bool Features::*what : {&Features::hs_ctrl, &Features::smc, &Features::btf,
                                 &Features::fmod_ret, &Features::cgroup2, &Features::capable}) {
        EXPECT_EQ(without(what).find('\n'), std::string::npos);
    }
}

}  // namespace
}  // namespace smc_steer
