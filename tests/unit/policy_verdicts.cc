// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <memory>

#include "agent/policy/verdicts.h"

namespace smc_steer {
namespace {

Rule rule(Action action, PortRange range) { return {action, {range}, "", {"file", 1}}; }

std::unique_ptr<steer_policy> compiled(const Policy& policy) {
    auto table = std::make_unique<steer_policy>();
    compile(policy, *table);
    return table;
}

TEST(PolicyVerdicts, DenyWinsThenAllowThenDefault) {
    for (Action otherwise : {Action::allow, Action::deny}) {
        Policy policy;
        policy.default_action = otherwise;
        // In the order that would be wrong if order counted.
        policy.rules = {rule(Action::deny, {100, 200}), rule(Action::allow, {150, 300}),
                        rule(Action::deny, {250, 250})};
        auto table = compiled(policy);
        int def = otherwise == Action::allow ? STEER_ALLOW : STEER_DENY;
        EXPECT_EQ(table->port[99], def);
        EXPECT_EQ(table->port[100], STEER_DENY);
        EXPECT_EQ(table->port[150], STEER_DENY);
        EXPECT_EQ(table->port[200], STEER_DENY);
        EXPECT_EQ(table->port[201], STEER_ALLOW);
        EXPECT_EQ(table->port[249], STEER_ALLOW);
        EXPECT_EQ(table->port[250], STEER_DENY);
        EXPECT_EQ(table->port[251], STEER_ALLOW);
        EXPECT_EQ(table->port[300], STEER_ALLOW);
        EXPECT_EQ(table->port[301], def);
        EXPECT_EQ(table->port[65535], def);
        EXPECT_EQ(table->port[0], STEER_DENY);
    }
}

TEST(PolicyVerdicts, TheWholeRangeFits) {
    Policy policy;
    policy.default_action = Action::deny;
    policy.rules = {rule(Action::allow, {1, 65535})};
    auto table = compiled(policy);
    EXPECT_EQ(table->port[0], STEER_DENY);
    EXPECT_EQ(table->port[1], STEER_ALLOW);
    EXPECT_EQ(table->port[65535], STEER_ALLOW);
}

TEST(PolicyVerdicts, BuiltinLeavesSshAlone) {
    auto table = compiled(builtin_policy());
    EXPECT_EQ(table->port[22], STEER_DENY);
    EXPECT_EQ(table->port[21], STEER_ALLOW);
    EXPECT_EQ(table->port[6379], STEER_ALLOW);
}

// explain() is a second way to the same answer: it must agree with the table everywhere.
TEST(PolicyVerdicts, ExplainAgreesWithTheTable) {
    Policy policy = builtin_policy();
    policy.rules.push_back(rule(Action::allow, {20, 30}));
    policy.rules.push_back(rule(Action::deny, {8000, 8100}));
    auto table = compiled(policy);
    for (int port = 1; port <= 65535; port++) {
        auto why = explain(policy, static_cast<std::uint16_t>(port));
        ASSERT_EQ(why.action == Action::allow, table->port[port] == STEER_ALLOW) << port;
    }
    EXPECT_EQ(explain(policy, 22).rule->comment, "ssh");
    EXPECT_EQ(explain(policy, 25).rule, policy.rules[1]);
    EXPECT_FALSE(explain(policy, 9000).rule);
}

TEST(PolicyVerdicts, DeniedByFindsOverlaps) {
    Policy policy = builtin_policy();
    EXPECT_TRUE(denied_by(policy, {22, 22}));
    EXPECT_TRUE(denied_by(policy, {20, 25}));
    EXPECT_FALSE(denied_by(policy, {23, 25}));
    EXPECT_FALSE(denied_by(policy, {1, 21}));
}

}  // namespace
}  // namespace smc_steer
