// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/daemon/control_protocol.h"

namespace smc_steer {
namespace {

std::string error_of(const std::string& line) {
    auto request = parse_request(line);
    return request ? "(was read)" : request.error().message;
}

TEST(AgentProtocol, ReadsRequests) {
    EXPECT_EQ(parse_request(R"({"cmd":"status"})")->command, Command::status);
    EXPECT_EQ(parse_request(R"({"cmd":"flows"})")->command, Command::flows);
    auto deny = parse_request(R"({"cmd":"deny","ports":"8000-8100","comment":"why"})");
    ASSERT_TRUE(deny) << deny.error().message;
    EXPECT_EQ(deny->command, Command::deny);
    EXPECT_EQ(deny->rule.ports, (std::vector<PortRange>{{8000, 8100}}));
    EXPECT_EQ(deny->rule.comment, "why");
    auto full = parse_request(
        R"({"cmd":"allow","ports":"80,443,8000-8100","direction":"in","peers":"10.0.0.0/8,fd00::1",)"
        R"("workload":"uid:7"})");
    ASSERT_TRUE(full) << full.error().message;
    EXPECT_EQ(to_string(full->rule),
              "allow in 80, 443, 8000-8100 with 10.0.0.0/8, fd00::1 of uid:7");
    EXPECT_EQ(parse_request(R"({"cmd":"allow","ports":"80","via":"smc"})")->rule.via, Via::smc);
    auto explain =
        parse_request(R"({"cmd":"explain","source":"10.0.0.1","destination":"fd00::1","port":80})");
    ASSERT_TRUE(explain) << explain.error().message;
    EXPECT_EQ(explain->port, 80);
    EXPECT_FALSE(explain->workload);
    EXPECT_EQ(parse_request(R"({"cmd":"remove","number":3})")->number, 3);
    EXPECT_EQ(parse_request(R"({"cmd":"upgrade"})")->binary, "");
    EXPECT_EQ(parse_request(R"({"cmd":"upgrade","binary":"/x"})")->binary, "/x");
    EXPECT_TRUE(is_write(Command::upgrade));
    EXPECT_FALSE(is_write(Command::reasons));
    EXPECT_FALSE(is_write(Command::endpoints));
}

TEST(AgentProtocol, RefusesTheRest) {
    for (const char* line : {"", "x", "null", "[]", "1", "\"status\"", "{", "{\"cmd\":\"status\"",
                             "{\"cmd\":\"status\"} {}"}) {
        EXPECT_EQ(error_of(line), "request: not a JSON object") << line;
    }
    EXPECT_EQ(error_of("{}"), "request: 'cmd' must be a string");
    EXPECT_EQ(error_of(R"({"cmd":1})"), "request: 'cmd' must be a string");
    EXPECT_EQ(error_of(R"({"cmd":"reboot"})"), "request: unknown command 'reboot'");
    EXPECT_EQ(error_of(R"({"cmd":"status","x":1})"), "request: unknown member 'x'");
    EXPECT_EQ(error_of(R"({"cmd":"allow"})"),
              "a rule needs ports, peers or a workload: what holds for all the rest is 'default'");
    EXPECT_EQ(error_of(R"({"cmd":"allow","ports":6379})"), "request: 'ports' must be a string");
    EXPECT_EQ(error_of(R"({"cmd":"allow","ports":"1,"})"), "the list ends with a comma");
    EXPECT_EQ(error_of(R"({"cmd":"allow","ports":"1","direction":"up"})"),
              "the direction must be out, in or both, not 'up'");
    EXPECT_EQ(error_of(R"({"cmd":"allow","ports":"1","via":"tcp"})"),
              "via must be smc or direct, not 'tcp'");
    EXPECT_EQ(error_of(R"({"cmd":"deny","ports":"1","via":"smc"})"),
              "via: only with allow: what is denied takes no path");
    EXPECT_EQ(error_of(R"({"cmd":"deny","peers":"10.0.0.1/8"})"),
              "'10.0.0.1/8' has bits beyond its prefix: write 10.0.0.0/8");
    EXPECT_EQ(
        error_of(R"({"cmd":"deny","workload":"user:5"})"),
        "'user:5' is not a workload: write cgroup:, unit:, container:, pod:, namespace:, label:, "
        "uid:, netns: or command: and which one");
    EXPECT_EQ(error_of(R"({"cmd":"explain","source":"x","destination":"::1","port":1})"),
              "'x' is not an address: write one such as 10.0.0.1 or fd00::1");
    EXPECT_EQ(error_of(R"({"cmd":"explain","source":"::1","destination":"::1","port":0})"),
              "request: 'port' must be a number from 1 to 65535");
    EXPECT_EQ(error_of(R"({"cmd":"upgrade","binary":"x"})"),
              "request: 'binary' must be an absolute path");
    EXPECT_EQ(error_of(R"({"cmd":"allow","ports":"0"})"),
              "port 0 is out of range: ports are 1 to 65535");
    EXPECT_EQ(error_of(R"({"cmd":"allow","ports":"1","comment":"a\nb"})"),
              "the comment has control characters in it");
    EXPECT_EQ(error_of(R"({"cmd":"allow","ports":"1","comment":")" + std::string(257, 'x') + "\"}"),
              "the comment is longer than 256 bytes");
    for (const char* number : {"0", "-1", "1.5", "\"1\"", "99999999999999999999"}) {
        EXPECT_EQ(error_of(fmt::format(R"({{"cmd":"remove","number":{}}})", number)),
                  "request: 'number' must be a rule's number");
    }
}

TEST(AgentProtocol, DeepNestingIsJustWrong) {
    std::string deep = R"({"cmd":)" + std::string(60000, '[');
    EXPECT_FALSE(parse_request(deep));
}

TEST(AgentProtocol, AnswersAreOneLineWhateverIsInThem) {
    auto line = to_line(error_answer("a\nb\xff"));
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    EXPECT_FALSE(nlohmann::json::parse(line)["ok"].get<bool>());
}

}  // namespace
}  // namespace smc_steer
