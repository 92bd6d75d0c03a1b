// SPDX-License-Identifier: Apache-2.0
// An agent without a session, by its control socket: what an edit of the rules leaves on disk.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>

#include "agent/cli/client.h"
#include "agent/daemon/agent.h"
#include "agent/daemon/files.h"
#include "tests/unit/directory_test.h"
#include "tests/unit/log_capture.h"
#include "tests/unit/with_client.h"

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

class AgentEdit : public DirectoryTest {
protected:
    void SetUp() override {
        DirectoryTest::SetUp();
        config_.device = "/dev/no-such-device";
        config_.when_unsupported = WhenUnsupported::idle;
        config_.metrics_listen.clear();
        paths_.main_file = dir_ / "policy.yaml";
        paths_.reserved_ports = dir_ / "reserved";
        socket_ = dir_ / "agent.sock";
    }
    // As many networks in each other as the datapath can follow.
    void fill() {
        std::ofstream main_file(paths_.main_file);
        main_file << "version: 1\nrules:\n- action: deny\n  peers: [";
        for (unsigned i = 0; i < STEER_CHAIN_MAX; i++) {
            main_file << (i ? ", " : "") << "10.0.0.0/" << 8 + i;
        }
        main_file << "]\n";
    }
    void start() {
        agent_ = std::make_unique<Agent>(*loop_, config_, paths_, socket_,
                                         std::vector<std::string>{"smc-agent"}, std::nullopt);
        ASSERT_EQ(agent_->start(), std::nullopt) << log_.text();
    }
    Result<nlohmann::json> tell(const nlohmann::json& request) {
        Result<nlohmann::json> answer = fail("was not asked");
        with_client(*loop_, [&] { answer = ask(socket_, request); });
        return answer;
    }

    LogCapture log_;
    Config config_;
    PolicyPaths paths_;
    std::string socket_;
    std::unique_ptr<EventLoop> loop_ = std::make_unique<EventLoop>(*EventLoop::create());
    std::unique_ptr<Agent> agent_;
};

TEST_F(AgentEdit, OneThatIsGoodIsWritten) {
    fill();
    start();
    auto answer = tell({{"cmd", "deny"}, {"ports", "6379"}});
    ASSERT_TRUE(answer) << answer.error().message;
    auto policy = load_policy(paths_);
    ASSERT_TRUE(policy) << policy.error().message;
    EXPECT_EQ(to_string(policy->rules.back()), "deny 6379");
}

TEST_F(AgentEdit, OneThatIsRefusedLeavesNothing) {
    fill();
    start();
    auto answer = tell({{"cmd", "deny"}, {"peers", "10.0.0.0/30"}});
    ASSERT_FALSE(answer);
    EXPECT_NE(answer.error().message.find("; nothing was changed"), std::string::npos)
        << answer.error().message;
    EXPECT_FALSE(fs::exists(paths_.own_file()));
    // The next agent would have ended with exit code 2.
    EXPECT_TRUE(load_policy(paths_));
}

TEST_F(AgentEdit, OneThatIsRefusedLeavesTheOldFile) {
    fill();
    ASSERT_TRUE(save_own_rules(paths_, {{Action::deny, {{80, 80}}, "mine", {}}}));
    auto before = *read_file(paths_.own_file());
    start();
    EXPECT_FALSE(tell({{"cmd", "deny"}, {"peers", "10.0.0.0/30"}}));
    EXPECT_EQ(*read_file(paths_.own_file()), before);
}

// Another file's mistake is still said, and does not keep the old rules from being in force.
TEST_F(AgentEdit, NoneWhileAnotherFileIsWrong) {
    fill();
    start();
    std::ofstream(paths_.main_file) << "version: 1\nrules: 7\n";
    auto answer = tell({{"cmd", "deny"}, {"ports", "6379"}});
    ASSERT_FALSE(answer);
    EXPECT_NE(answer.error().message.find("policy.yaml:2"), std::string::npos)
        << answer.error().message;
    EXPECT_FALSE(fs::exists(paths_.own_file()));
}

TEST_F(AgentEdit, OneThatCannotBeWrittenIsNotInForce) {
    fill();
    fs::create_directories(paths_.own_file() + ".new");  // where the new file is to be made
    start();
    with_client(*loop_, [&] {
        EXPECT_FALSE(ask(socket_, {{"cmd", "deny"}, {"ports", "6379"}}));
        auto rules = ask(socket_, {{"cmd", "rules"}});
        ASSERT_TRUE(rules) << rules.error().message;
        EXPECT_EQ((*rules)["rules"].size(), 1U);
        EXPECT_EQ((*rules)["last_error"], "");
    });
}

TEST_F(AgentEdit, ARuleThatAdoptsEndsTheAgent) {
    std::ofstream(paths_.main_file)
        << "version: 1\nrules:\n- action: allow\n  ports: 6379\n  adopt: true\n";
    Agent agent(*loop_, config_, paths_, socket_, {"smc-agent"}, std::nullopt);
    EXPECT_EQ(agent.start(), std::optional<int>(kExitUsage));
    EXPECT_EQ(kExitUsage, 2);
    EXPECT_NE(
        log_.text().find("policy.yaml:5: adopt: gone: the direct path serves what it was for"),
        std::string::npos)
        << log_.text();
}

}  // namespace
}  // namespace smc_steer
