// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "agent/policy/policy_file.h"
#include "agent/policy/tables.h"
#include "tests/unit/policy_flow.h"

namespace smc_steer {
namespace {

Policy read(const std::string& text) {
    auto file = parse_policy_file(text, "p");
    EXPECT_TRUE(file) << file.error().message;
    return *merge(NamedPolicyFile{"p", *file}, {});
}

// The tables mean what the rules say: thousands of random policies, each asked many times.
TEST(PolicyTables, AgreeWithTheRules) {
    auto machine = RandomPolicy::machine();
    int denied = 0, asked = 0;
    for (unsigned seed = 1; seed <= 2000; seed++) {
        RandomPolicy random(seed);
        auto policy = random.policy(12);
        auto tables = compile(policy);
        ASSERT_TRUE(tables) << tables.error().message;
        auto subjects = members(tables->workloads, machine);
        TableReader reader(*tables, subjects);
        for (int i = 0; i < 50; i++) {
            auto flow = random.flow();
            Connection connection{flow.way, flow.port, flow.peer, [&flow](const Workload& w) {
                                      return RandomPolicy::is_of(flow, w);
                                  }};
            auto says = explain(policy, connection, Via::smc).action;
            ASSERT_EQ(reader.verdict(flow), says) << "seed " << seed << ", flow " << i << "\n"
                                                  << format_policy_file(policy.rules);
            denied += says == Action::deny;
            asked++;
        }
    }
    // Neither answer is rare, or agreeing would prove little.
    EXPECT_GT(denied, asked / 4);
    EXPECT_LT(denied, asked * 3 / 4 + asked / 8);
}

TEST(PolicyTables, PortsAloneNeedNothingElse) {
    auto tables = *compile(builtin_policy());
    EXPECT_EQ(tables.ports->has, 0U);
    EXPECT_EQ(tables.ports->port[22], STEER_OUT_DENY | STEER_IN_DENY);
    EXPECT_EQ(tables.ports->port[21], 0);
    EXPECT_EQ(tables.ports->port[0], STEER_OUT_DENY | STEER_IN_DENY);
    EXPECT_EQ(tables.ports->default_bits, std::uint32_t{STEER_OUT_ALLOW | STEER_IN_ALLOW});
    EXPECT_TRUE(tables.scopes.empty());
    EXPECT_TRUE(tables.peers.empty());
}

// The datapath is SMC's: it need not know the other path.
TEST(PolicyTables, WhatTakesTheOtherPathIsDenied) {
    auto tables = *compile(read(R"(version: 1
rules:
- {action: allow, ports: 80, via: direct}
- {action: allow, ports: 90, via: smc}
- {action: allow, workload: {uid: 7}, via: direct}
- {action: allow, workload: {uid: 8}, via: smc}
)"));
    EXPECT_EQ(tables.ports->port[80], STEER_OUT_DENY | STEER_IN_DENY);
    EXPECT_EQ(tables.ports->port[90], STEER_OUT_ALLOW | STEER_IN_ALLOW);
    ASSERT_EQ(tables.workloads.size(), 2U);
    EXPECT_TRUE(tables.workloads[0].never) << "its sockets stay TCP's, which the other path moves";
    EXPECT_FALSE(tables.workloads[1].never);
}

TEST(PolicyTables, SpansAreAsFewAsCanBe) {
    auto tables = *compile(read(R"(version: 1
rules:
- {action: deny, ports: [1-10, 5-20, 21, 30], peers: 10.0.0.0/8}
- {action: allow, ports: 8-9, peers: 10.0.0.0/8}
)"));
    ASSERT_EQ(tables.scopes.size(), 1U);
    ASSERT_EQ(tables.spans.size(), 4U);
    EXPECT_EQ(tables.spans[0].last_port, 7);
    EXPECT_EQ(tables.spans[2].first_port, 10);
    EXPECT_EQ(tables.spans[2].last_port, 21);
    EXPECT_EQ(tables.spans[3].first_port, 30);
}

TEST(PolicyTables, OnlyRulesAboutAllThatAWorkloadDoesAreForSockets) {
    auto tables = *compile(read(R"(version: 1
rules:
- {action: deny, workload: {uid: 1}}
- {action: deny, workload: {uid: 2}, ports: 80}
- {action: deny, workload: {uid: 3}, direction: in}
- {action: allow, workload: {uid: 4}}
- {action: deny, workload: {command: nc}}
)"));
    ASSERT_EQ(tables.workloads.size(), 5U);
    for (std::size_t i = 0; i < 5; i++) {
        EXPECT_EQ(tables.workloads[i].never, i == 0 || i == 4) << i;
    }
}

TEST(PolicyTables, WhatDoesNotFitIsNamed) {
    std::string nested = "version: 1\nrules:\n";
    for (int length = 8; length <= 20; length++) {
        nested += "- {action: deny, peers: 10.0.0.0/" + std::to_string(length) + "}\n";
    }
    auto tables = compile(read(nested));
    ASSERT_FALSE(tables);
    EXPECT_EQ(tables.error().message,
              "p:15: peers: 10.0.0.0/20 is inside 12 other networks of the rules, the datapath "
              "follows 11");

    Policy huge;
    Rule rule{Action::deny, std::vector<PortRange>(1000, {1, 1}), "", {"p", 7}};
    for (std::uint8_t i = 0; i < 250; i++) {
        rule.peers.push_back({{i}, 8});
    }
    huge.rules.assign(3, rule);
    auto too_many = compile(huge);
    ASSERT_FALSE(too_many);
    EXPECT_EQ(too_many.error().message,
              "p:7: ports and peers: with this rule the datapath's room for 524288 pairs of them "
              "is used up");
}

TEST(PolicyTables, TenThousandRulesCompileAtOnce) {
    RandomPolicy random(1);
    Policy policy;
    for (std::uint32_t i = 0; i < 10000; i++) {
        Rule rule{i % 2 ? Action::deny : Action::allow,
                  {{static_cast<std::uint16_t>(1 + i % 60000), 65535}},
                  "",
                  {}};
        rule.peers = {{{10, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}, 24}};
        policy.rules.push_back(rule);
    }
    auto began = std::chrono::steady_clock::now();
    auto tables = compile(policy);
    auto took = std::chrono::steady_clock::now() - began;
    ASSERT_TRUE(tables) << tables.error().message;
    EXPECT_EQ(tables->peers.size(), 10000U);
    EXPECT_LT(took, std::chrono::seconds(1));
}

TEST(PolicyMembers, ChainsGoUpAndContainersAreFoundByTheirId) {
    auto machine = RandomPolicy::machine();
    std::vector<NamedWorkload> workloads{
        {{WorkloadKind::cgroup, "/a"}, 1, false},
        {{WorkloadKind::unit, "web.service"}, 2, true},
        {{WorkloadKind::container, "0123456789ab"}, 3, false},
        {{WorkloadKind::netns, "blue"}, 4, false},
        {{WorkloadKind::netns, "nowhere"}, 5, false},
    };
    auto subjects = members(workloads, machine);
    ASSERT_EQ(subjects.size(), 4U);
    int never = 0;
    for (const auto& [subject, chain] : subjects) {
        if (chain.never) {
            never++;
            EXPECT_EQ(chain.count, 2);
            EXPECT_EQ(chain.id[0], 1U);
            EXPECT_EQ(chain.id[1], 2U);
        }
    }
    EXPECT_EQ(never, 1);
}

TEST(PolicyMembers, TooManyAroundOneIsSaidNotCutShort) {
    std::vector<NamedWorkload> workloads;
    for (std::uint32_t id = 1; id <= STEER_CHAIN_MAX + 3; id++) {
        workloads.push_back({{WorkloadKind::cgroup, "/a" + std::string(id, '*')}, id, false});
    }
    auto subjects = members(workloads, {{{"/a", 5}}, {}});
    ASSERT_EQ(subjects.size(), 1U);
    EXPECT_EQ(subjects.begin()->second.count, STEER_CHAIN_MAX + 1);
}

TEST(PolicyMembers, TopmostLeavesOutWhatIsInside) {
    auto machine = RandomPolicy::machine();
    auto all = topmost(all_workloads(), machine.cgroups);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].path, "/");
    auto some = topmost({{WorkloadKind::cgroup, "/a/*"}, {WorkloadKind::cgroup, "/a/b/c"}},
                        machine.cgroups);
    ASSERT_EQ(some.size(), 2U);
    EXPECT_TRUE(topmost(container_cgroups(), machine.cgroups).empty());
    EXPECT_EQ(topmost(container_cgroups(),
                      {{"/", 1}, {"/system.slice", 2}, {"/system.slice/docker-0af.scope", 3}})
                  .size(),
              1U);
}

}  // namespace
}  // namespace smc_steer
