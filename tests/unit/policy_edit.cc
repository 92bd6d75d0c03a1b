// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/policy/edit.h"

namespace smc_steer {
namespace {

using Did = std::vector<std::string>;

TEST(PolicyEdit, AllowTakesBackAnEqualDeny) {
    auto denied = add_rule({}, {Action::deny, {{6379, 6379}}, "", {}});
    EXPECT_EQ(denied.did, Did{"added: deny 6379"});
    auto allowed = add_rule(denied.rules, {Action::allow, {{6379, 6379}}, "", {}});
    EXPECT_EQ(allowed.did, (Did{"removed: deny 6379", "added: allow 6379"}));
    ASSERT_EQ(allowed.rules.size(), 1U);
    EXPECT_EQ(allowed.rules[0].action, Action::allow);
    auto again = add_rule(allowed.rules, {Action::deny, {{6379, 6379}}, "", {}});
    EXPECT_EQ(again.did, (Did{"removed: allow 6379", "added: deny 6379"}));
}

TEST(PolicyEdit, AnotherPathTakesTheFirstBack) {
    Rule rule{Action::allow, {{6379, 6379}}, "", {}};
    auto edit = add_rule({}, rule);
    rule.via = Via::smc;
    edit = add_rule(edit.rules, rule);
    EXPECT_EQ(edit.did, (Did{"removed: allow 6379", "added: allow 6379 via smc"}));
    rule.via = Via::direct;
    edit = add_rule(edit.rules, rule);
    EXPECT_EQ(edit.did, (Did{"removed: allow 6379 via smc", "added: allow 6379 via direct"}));
    EXPECT_EQ(edit.rules.size(), 1U);
}

TEST(PolicyEdit, OtherRangesStay) {
    auto edit = add_rule({}, {Action::deny, {{1, 100}}, "", {}});
    edit = add_rule(edit.rules, {Action::allow, {{50, 50}}, "", {}});
    EXPECT_EQ(edit.did, Did{"added: allow 50"});
    EXPECT_EQ(edit.rules.size(), 2U);
}

TEST(PolicyEdit, AskingTwiceAddsOnce) {
    auto edit = add_rule({}, {Action::deny, {{1, 2}}, "why", {}});
    auto again = add_rule(edit.rules, {Action::deny, {{1, 2}}, "", {}});
    EXPECT_EQ(again.did, Did{"there already: deny 1-2"});
    ASSERT_EQ(again.rules.size(), 1U);
    EXPECT_EQ(again.rules[0].comment, "why");
    auto renamed = add_rule(edit.rules, {Action::deny, {{1, 2}}, "because", {}});
    EXPECT_EQ(renamed.rules[0].comment, "because");
    EXPECT_EQ(renamed.rules.size(), 1U);
}

TEST(PolicyEdit, RemoveTakesExactlyTheTarget) {
    auto edit = add_rule({}, {Action::deny, {{1, 1}}, "", {}});
    edit = add_rule(edit.rules, {Action::deny, {{2, 2}}, "", {}});
    auto removed = remove_rule(edit.rules, edit.rules[0]);
    EXPECT_EQ(removed.did, Did{"removed: deny 1"});
    ASSERT_EQ(removed.rules.size(), 1U);
    EXPECT_EQ(removed.rules[0].ports[0].first, 2);
    EXPECT_TRUE(remove_rule(removed.rules, edit.rules[0]).did.empty());
}

}  // namespace
}  // namespace smc_steer
