// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/policy_file.h"

#include <gtest/gtest.h>

namespace smc_steer {
namespace {

std::string error_of(const char* text) {
    auto file = parse_policy_file(text, "p.yaml");
    return file ? "(was read)" : file.error().message;
}

TEST(PolicyFile, ReadsAllForms) {
    auto file = parse_policy_file(R"(version: 1
default: deny
rules:
  - action: allow
    ports: 6379
    comment: redis
  - {action: deny, ports: "8000-8100"}
  - action: allow
    ports: [80, "443", 9000-9001]
)",
                                  "p.yaml");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->default_action, Action::deny);
    EXPECT_EQ(file->default_line, 2);
    ASSERT_EQ(file->rules.size(), 3U);
    EXPECT_EQ(file->rules[0], (Rule{Action::allow, {{6379, 6379}}, "redis", {"p.yaml", 4}}));
    EXPECT_EQ(file->rules[1], (Rule{Action::deny, {{8000, 8100}}, "", {"p.yaml", 7}}));
    EXPECT_EQ(file->rules[2],
              (Rule{Action::allow, {{80, 80}, {443, 443}, {9000, 9001}}, "", {"p.yaml", 8}}));
}

TEST(PolicyFile, NoRulesIsFine) {
    EXPECT_TRUE(parse_policy_file("version: 1\n", "p.yaml"));
    EXPECT_TRUE(parse_policy_file("version: 1\nrules:\n", "p.yaml"));
    EXPECT_TRUE(parse_policy_file("version: 1\nrules: []\n", "p.yaml"));
}

TEST(PolicyFile, ErrorsNameTheLine) {
    EXPECT_EQ(error_of(""), "p.yaml:1: version: missing; write 'version: 1'");
    EXPECT_EQ(error_of("default: allow\n"), "p.yaml:1: version: missing; write 'version: 1'");
    EXPECT_EQ(error_of("version: 2\n"),
              "p.yaml:1: version: 2 is not known; this agent reads version 1");
    EXPECT_EQ(error_of("version: 1\ndefualt: deny\n"),
              "p.yaml:2: defualt: unknown key; known here: version, default, rules");
    EXPECT_EQ(error_of("version: 1\ndefault: maybe\n"),
              "p.yaml:2: default: must be allow or deny, not 'maybe'");
    EXPECT_EQ(error_of("version: 1\n\nrules: 22\n"), "p.yaml:3: rules: must be a list");
    EXPECT_EQ(error_of("version: 1\nrules:\n- 22\n"),
              "p.yaml:3: rules: each rule is a map with action and ports");
    EXPECT_EQ(error_of("version: 1\nrules:\n- action: deny\n"),
              "p.yaml:3: a rule needs ports, peers or a workload: what holds for all the rest is "
              "'default'");
    EXPECT_EQ(error_of("version: 1\nrules:\n- ports: 1\n"), "p.yaml:3: rule without 'action'");
    EXPECT_EQ(error_of("version: 1\nrules:\n- action: deny\n  ports: 70000\n"),
              "p.yaml:4: ports: port 70000 is out of range: ports are 1 to 65535");
    EXPECT_EQ(error_of("version: 1\nrules:\n- action: deny\n  ports:\n  - 1\n  - 90-80\n"),
              "p.yaml:6: ports: '90-80' is backwards: write the lower port first, 80-90");
    EXPECT_EQ(error_of("version: 1\nrules:\n- action: deny\n  ports: []\n"),
              "p.yaml:4: ports: the list is empty");
    EXPECT_EQ(error_of("version: 1\nrules:\n- action: deny\n  port: 1\n"),
              "p.yaml:4: port: unknown key; known here: action, direction, ports, peers, workload, "
              "via, comment");
    EXPECT_EQ(error_of("version: 1\nrules:\n- action: allow\n  ports: 1\n  via: tcp\n"),
              "p.yaml:5: via: must be smc or direct, not 'tcp'");
    EXPECT_EQ(error_of("version: 1\nrules:\n- {action: deny, ports: 1, via: smc}\n"),
              "p.yaml:3: via: only with allow: what is denied takes no path");
    EXPECT_EQ(error_of("version: 1\nversion: 1\n"), "p.yaml:2: version: written twice");
    EXPECT_EQ(error_of("- version: 1\n"),
              "p.yaml:1: a policy is a map; it starts with 'version: 1'");
}

TEST(PolicyFile, AdoptIsGone) {
    for (const char* value : {"true", "false", "[1]"}) {
        auto text = std::string("version: 1\nrules:\n- {action: allow, ports: 80}\n") +
                    "- action: allow\n  adopt: " + value + "\n";
        EXPECT_EQ(error_of(text.c_str()),
                  "p.yaml:5: adopt: gone: the direct path serves what it was for, see "
                  "OPERATIONS.md, \"Which path\"");
    }
}

TEST(PolicyFile, BrokenYamlIsOneLineWithItsPlace) {
    for (const char* text : {"version: 1\nrules: [\n", "version: 1\n\tdefault: deny\n", "a: 'b\n",
                             "version: 1\nrules:\n- action: deny\n ports: 1\n", "{", "\x01"}) {
        auto message = error_of(text);
        EXPECT_EQ(message.rfind("p.yaml:", 0), 0U) << message;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
}

TEST(PolicyFile, WrittenRulesReadBack) {
    std::vector<Rule> rules{{Action::allow, {{80, 80}, {1000, 2000}}, "say \"hi\": # no", {}},
                            {Action::deny, {{22, 22}}, "", {}}};
    for (auto via : {Via::smc, Via::direct}) {
        rules.push_back({Action::allow, {{443, 443}}, "", {}});
        rules.back().via = via;
    }
    auto file = parse_policy_file(format_policy_file(rules), "p.yaml");
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_EQ(file->rules.size(), rules.size());
    for (std::size_t i = 0; i < rules.size(); i++) {
        file->rules[i].origin = {};
        EXPECT_EQ(file->rules[i], rules[i]);
    }
    EXPECT_TRUE(parse_policy_file(format_policy_file({}), "p.yaml"));
}

TEST(PolicyFile, MergeTakesDropInsAfterTheMainFile) {
    auto main_file =
        *parse_policy_file("version: 1\ndefault: deny\nrules:\n- {action: allow, ports: 1}\n", "m");
    auto drop_in = *parse_policy_file("version: 1\nrules:\n- {action: allow, ports: 2}\n", "d");
    auto policy = merge(NamedPolicyFile{"m", main_file}, {{"d", drop_in}});
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->default_action, Action::deny);
    EXPECT_EQ(to_string(policy->default_origin), "m:2");
    ASSERT_EQ(policy->rules.size(), 2U);
    EXPECT_EQ(to_string(policy->rules[1].origin), "d:3");
}

TEST(PolicyFile, MergeWithoutMainFileIsTheBuiltin) {
    auto policy = merge(std::nullopt, {});
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->default_action, Action::allow);
    EXPECT_EQ(policy->rules, builtin_policy().rules);
}

TEST(PolicyFile, MergeRefusesADefaultInADropIn) {
    auto drop_in = *parse_policy_file("version: 1\ndefault: allow\n", "d");
    auto policy = merge(std::nullopt, {{"d", drop_in}});
    ASSERT_FALSE(policy);
    EXPECT_EQ(policy.error().message,
              "d:2: default: belongs into the main policy file, a drop-in has rules only");
}

}  // namespace
}  // namespace smc_steer
