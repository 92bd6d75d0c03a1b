// SPDX-License-Identifier: Apache-2.0
// "adopt" from the file to the tables, and what the relay makes of it.
#include <gtest/gtest.h>

#include "agent/policy/edit.h"
#include "agent/policy/policy_file.h"
#include "agent/policy/tables.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {
namespace {

Policy policy_of(const std::string& rules) {
    auto file = parse_policy_file("version: 1\nrules:\n" + rules, "p.yaml");
    EXPECT_TRUE(file) << (file ? "" : file.error().message);
    Policy policy;
    if (file) {
        policy.rules = file->rules;
    }
    return policy;
}

std::string error_of(const std::string& rule) {
    auto file = parse_policy_file("version: 1\nrules:\n" + rule, "p.yaml");
    return file ? "(good)" : file.error().message;
}

bool adopted(const Policy& policy, Direction way, std::uint16_t port, const char* peer) {
    Connection connection;
    connection.way = way;
    connection.port = port;
    connection.peer = parse_cidr(peer)->in6;
    return adopts(policy, connection);
}

TEST(PolicyAdopt, OnlyWhatARuleSays) {
    auto policy = policy_of(
        "- {action: allow, ports: 6379, adopt: true}\n"
        "- {action: allow, ports: 80, direction: in, peers: 10.0.0.0/24, adopt: true}\n"
        "- {action: allow, ports: 81}\n");
    EXPECT_TRUE(adopted(policy, Direction::out, 6379, "10.0.0.1"));
    EXPECT_TRUE(adopted(policy, Direction::in, 6379, "fd00::1"));
    EXPECT_TRUE(adopted(policy, Direction::in, 80, "10.0.0.1"));
    EXPECT_FALSE(adopted(policy, Direction::out, 80, "10.0.0.1"));
    EXPECT_FALSE(adopted(policy, Direction::in, 80, "10.0.1.1"));
    EXPECT_FALSE(adopted(policy, Direction::out, 81, "10.0.0.1")) << "allowed, and no more";
    EXPECT_FALSE(adopted(policy, Direction::out, 82, "10.0.0.1")) << "allowed by default";
}

TEST(PolicyAdopt, DenyWins) {
    auto policy = policy_of(
        "- {action: allow, ports: 6379, adopt: true}\n"
        "- {action: deny, ports: 6379, peers: 10.9.0.0/16}\n");
    EXPECT_TRUE(adopted(policy, Direction::in, 6379, "10.0.0.1"));
    EXPECT_FALSE(adopted(policy, Direction::in, 6379, "10.9.0.1"));
}

TEST(PolicyAdopt, TablesHaveABitForEachDirection) {
    auto tables =
        compile(policy_of("- {action: allow, ports: 6379, adopt: true}\n"
                          "- {action: allow, ports: 80, direction: in, adopt: true}\n"
                          "- {action: allow, ports: 81}\n"));
    ASSERT_TRUE(tables) << tables.error().message;
    constexpr auto kAllow = STEER_OUT_ALLOW | STEER_IN_ALLOW;
    EXPECT_EQ(tables->ports->port[6379], kAllow | STEER_OUT_ADOPT | STEER_IN_ADOPT);
    EXPECT_EQ(tables->ports->port[80], STEER_IN_ALLOW | STEER_IN_ADOPT);
    EXPECT_EQ(tables->ports->port[81], kAllow);
}

TEST(PolicyAdopt, Mistakes) {
    EXPECT_EQ(error_of("- {action: allow, ports: 1, adopt: maybe}\n"),
              "p.yaml:3: adopt: must be true or false, not 'maybe'");
    EXPECT_EQ(error_of("- {action: deny, ports: 1, adopt: true}\n"),
              "p.yaml:3: adopt: what is denied cannot be relayed");
    EXPECT_EQ(error_of("- {action: allow, ports: 1, workload: {uid: 1}, adopt: true}\n"),
              "p.yaml:3: adopt: with a workload, direction must be out: whose the listener is that "
              "a connection is for is not known");
    EXPECT_EQ(error_of("- {action: allow, ports: 1, direction: out, workload: {uid: 1}, "
                       "adopt: true}\n"),
              "(good)");
}

TEST(PolicyAdopt, IsWrittenAndTakenBack) {
    auto rules = policy_of("- {action: allow, ports: 6379, adopt: true}\n").rules;
    auto again = parse_policy_file(format_policy_file(rules), "q.yaml");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(again->rules.at(0).adopt);
    EXPECT_EQ(to_string(rules[0]), "allow 6379, adopt");

    auto plain = rules[0];
    plain.adopt = false;
    auto edit = add_rule(rules, plain);
    ASSERT_EQ(edit.rules.size(), 1U);
    EXPECT_FALSE(edit.rules[0].adopt);
    EXPECT_EQ(edit.did.at(0), "no longer relayed: allow 6379");
    EXPECT_TRUE(add_rule(edit.rules, rules[0]).rules.at(0).adopt);
}

}  // namespace
}  // namespace smc_steer
