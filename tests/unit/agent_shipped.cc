// SPDX-License-Identifier: Apache-2.0
// deploy/systemd/agent.yaml and policy.yaml, which the package installs.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "agent/daemon/config.h"
#include "agent/policy/policy_file.h"

namespace smc_steer {
namespace {

std::string shipped(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(STEER_SOURCE_DIR "/deploy/systemd/" + name).rdbuf();
    return text.str();
}

// Keys are commented out as "#key", text as "# text".
std::string with_keys(const std::string& text) {
    std::istringstream lines(text);
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        bool key = line.size() > 2 && line[0] == '#' && (line[1] != ' ' || line[2] == ' ');
        result += key ? line.substr(1) + "\n" : line + "\n";
    }
    return result;
}

TEST(AgentShipped, NothingIsSet) {
    auto config = parse_config(shipped("agent.yaml"), "agent.yaml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->workloads, container_cgroups());
}

TEST(AgentShipped, WhatIsCommentedOutIsTheDefault) {
    auto text = with_keys(shipped("agent.yaml"));
    ASSERT_NE(text.find("\nlink_port: "), std::string::npos);
    auto config = parse_config(text, "agent.yaml");
    ASSERT_TRUE(config) << config.error().message;
    Config defaults;
    EXPECT_EQ(config->device, defaults.device);
    EXPECT_EQ(config->wmem, defaults.wmem);
    EXPECT_EQ(config->rmem, defaults.rmem);
    EXPECT_EQ(config->workloads, defaults.workloads);
    EXPECT_EQ(config->pods, defaults.pods);
    EXPECT_EQ(config->cri, defaults.cri);
    EXPECT_TRUE(config->services.empty());
    EXPECT_EQ(config->eid, defaults.eid);
    EXPECT_EQ(config->link_port, defaults.link_port);
    EXPECT_EQ(config->when_unsupported, defaults.when_unsupported);
    EXPECT_EQ(config->metrics_listen, defaults.metrics_listen);
    EXPECT_EQ(config->status_page, defaults.status_page);
    EXPECT_EQ(config->bpf_stats, defaults.bpf_stats);
    EXPECT_EQ(config->short_connections.step_back, defaults.short_connections.step_back);
    EXPECT_EQ(config->short_connections.bytes, defaults.short_connections.bytes);
    EXPECT_EQ(config->short_connections.milliseconds, defaults.short_connections.milliseconds);
    EXPECT_EQ(config->trust, defaults.trust);
    EXPECT_EQ(config->control_read, defaults.control_read);
    EXPECT_EQ(config->control_write, defaults.control_write);
}

TEST(AgentShipped, TheExampleOfAPolicyIsGood) {
    auto policy = parse_policy_file(shipped("policy.yaml"), "policy.yaml");
    ASSERT_TRUE(policy) << policy.error().message;
    EXPECT_EQ(policy->rules.size(), 3U);
}

}  // namespace
}  // namespace smc_steer
