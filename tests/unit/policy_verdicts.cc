// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/policy/policy_file.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {
namespace {

Rule rule(Action action, PortRange range) { return {action, {range}, "", {"file", 1}}; }

Connection to_port(std::uint16_t port) {
    Connection connection;
    connection.port = port;
    connection.peer = *parse_in6("10.0.0.2");
    return connection;
}

Policy read(const char* text) {
    auto file = parse_policy_file(text, "p");
    EXPECT_TRUE(file) << file.error().message;
    return *merge(NamedPolicyFile{"p", *file}, {});
}

TEST(PolicyVerdicts, DenyWinsThenAllowThenDefault) {
    for (Action otherwise : {Action::allow, Action::deny}) {
        Policy policy;
        policy.default_action = otherwise;
        // In the order that would be wrong if order counted.
        policy.rules = {rule(Action::deny, {100, 200}), rule(Action::allow, {150, 300}),
                        rule(Action::deny, {250, 250})};
        auto says = [&policy](std::uint16_t port) {
            return explain(policy, to_port(port), Via::smc).action;
        };
        EXPECT_EQ(says(99), otherwise);
        EXPECT_EQ(says(100), Action::deny);
        EXPECT_EQ(says(150), Action::deny);
        EXPECT_EQ(says(201), Action::allow);
        EXPECT_EQ(says(250), Action::deny);
        EXPECT_EQ(says(300), Action::allow);
        EXPECT_EQ(says(301), otherwise);
        EXPECT_EQ(says(65535), otherwise);
        EXPECT_EQ(says(0), Action::deny);
    }
}

TEST(PolicyVerdicts, TheRuleThatDecidedIsNamed) {
    Policy policy = builtin_policy();
    policy.rules.push_back(rule(Action::allow, {20, 30}));
    EXPECT_EQ(explain(policy, to_port(22), Via::smc).rule->comment, "ssh");
    EXPECT_EQ(explain(policy, to_port(25), Via::smc).rule, policy.rules[1]);
    EXPECT_FALSE(explain(policy, to_port(9000), Via::smc).rule);
}

TEST(PolicyVerdicts, EveryFieldHasToFit) {
    auto policy = read(R"(version: 1
rules:
- {action: deny, direction: out, ports: 80, peers: [10.0.0.0/24, "fd00::/8"], workload: {uid: 7}}
)");
    auto connection = to_port(80);
    connection.is_of = [](const Workload& workload) { return to_string(workload) == "uid:7"; };
    EXPECT_EQ(explain(policy, connection, Via::smc).action, Action::deny);
    auto other = connection;
    other.way = Direction::in;
    EXPECT_EQ(explain(policy, other, Via::smc).action, Action::allow);
    other = connection;
    other.port = 81;
    EXPECT_EQ(explain(policy, other, Via::smc).action, Action::allow);
    other = connection;
    other.peer = *parse_in6("10.0.1.2");
    EXPECT_EQ(explain(policy, other, Via::smc).action, Action::allow);
    other.peer = *parse_in6("fd12::1");
    EXPECT_EQ(explain(policy, other, Via::smc).action, Action::deny);
    other.is_of = [](const Workload&) { return false; };
    EXPECT_EQ(explain(policy, other, Via::smc).action, Action::allow);
}

// A rule with `via` says yes to one path and no to the other, whatever else says yes.
TEST(PolicyVerdicts, ViaKeepsTheOtherPathOff) {
    auto policy = read(R"(version: 1
rules:
- {action: allow, ports: 80, via: direct}
- {action: allow, ports: 90, via: smc}
- {action: allow, ports: [80, 90]}
- {action: deny, ports: 100}
- {action: allow, ports: 100, via: direct}
- {action: allow, ports: 110, via: smc}
- {action: allow, ports: 110, via: direct}
)");
    auto says = [&policy](std::uint16_t port) {
        return std::pair(explain(policy, to_port(port), Via::smc).action == Action::allow,
                         explain(policy, to_port(port), Via::direct).action == Action::allow);
    };
    EXPECT_EQ(says(80), std::pair(false, true));
    EXPECT_EQ(says(90), std::pair(true, false));
    EXPECT_EQ(says(100), std::pair(false, false)) << "deny wins";
    EXPECT_EQ(says(110), std::pair(false, false)) << "each keeps the other one off";
    EXPECT_EQ(says(120), std::pair(true, true)) << "no rule is about it";
    EXPECT_EQ(to_string(explain(policy, to_port(80), Via::smc)),
              "it takes the other path: allow 80 via direct (p:3)");
    EXPECT_EQ(to_string(explain(policy, to_port(100), Via::smc)), "deny 100 (p:6)");
    policy.default_action = Action::deny;
    policy.rules.resize(2);
    EXPECT_EQ(says(80), std::pair(false, true));
    EXPECT_EQ(says(90), std::pair(true, false));
    EXPECT_EQ(says(120), std::pair(false, false));
}

TEST(PolicyVerdicts, DeniedByFindsWhatOverlaps) {
    Policy policy = read("version: 1\nrules:\n- {action: deny, ports: 22, peers: 10.0.0.0/8}\n");
    auto allow = [](PortRange ports) { return rule(Action::allow, ports); };
    EXPECT_TRUE(denied_by(policy, allow({22, 22})));
    EXPECT_TRUE(denied_by(policy, allow({20, 25})));
    EXPECT_FALSE(denied_by(policy, allow({23, 25})));
    auto with_peers = allow({22, 22});
    with_peers.peers = {*parse_cidr("10.1.0.0/16")};
    EXPECT_TRUE(denied_by(policy, with_peers));
    with_peers.peers = {*parse_cidr("11.0.0.0/8")};
    EXPECT_FALSE(denied_by(policy, with_peers));
    EXPECT_EQ(denied_by_text(policy, allow({22, 22})),
              "deny wins: deny 22 with 10.0.0.0/8 in p:3 still stands");
    EXPECT_EQ(denied_by_text(policy, rule(Action::deny, {22, 22})), "") << "nothing to win over";
}

TEST(PolicyVerdicts, DeniedByARuleForTheOtherPath) {
    auto policy = read("version: 1\nrules:\n- {action: allow, ports: 80, via: direct}\n");
    auto allow = rule(Action::allow, {80, 80});
    const auto* said =
        "via direct keeps the other path off: allow 80 via direct in p:3 still stands";
    EXPECT_EQ(denied_by_text(policy, allow), said);
    allow.via = Via::smc;
    EXPECT_EQ(denied_by_text(policy, allow), said);
    allow.via = Via::direct;
    EXPECT_EQ(denied_by_text(policy, allow), "");
    allow.ports = {{81, 81}};
    allow.via = Via::smc;
    EXPECT_EQ(denied_by_text(policy, allow), "") << "about others";
}

}  // namespace
}  // namespace smc_steer
