// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_TESTS_BROKER_BROKER_FIXTURE_H
#define SMC_STEER_TESTS_BROKER_BROKER_FIXTURE_H

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <stdexcept>

#include "tests/broker/client.h"

namespace smc_steer::tests {

class BrokerTest : public ::testing::Test {
protected:
    std::unique_ptr<Process> launch(std::vector<std::string> arguments, const std::string& name) {
        arguments.insert(arguments.begin(), BROKER_BINARY);
        return std::make_unique<Process>(std::move(arguments), dir, name);
    }

    // A broker on `socket`, serving.
    void start(std::vector<std::string> more = {}) {
        // A test that says --slots says --size too.
        if (std::find(more.begin(), more.end(), "--slots") == more.end()) {
            more.insert(more.begin(), {"--size", "32M", "--slots", "4"});
        }
        more.insert(more.begin(), {"--socket", socket});
        broker = launch(std::move(more), "broker");
        ASSERT_TRUE(eventually([this] {
            return broker->err().find("serving") != std::string::npos || !broker->running();
        })) << broker->err();
        ASSERT_TRUE(broker->running()) << broker->err();
    }

    void TearDown() override {
        if (broker && broker->running()) {
            broker->signal(SIGTERM);
            EXPECT_EQ(broker->wait(), 0) << broker->err();
        }
        if (broker && HasFailure()) {
            std::fprintf(stderr, "the broker said:\n%s", broker->err().c_str());
        }
    }

    std::unique_ptr<Client> member() {
        auto client = std::make_unique<Client>(socket);
        // Thrown, since nothing that follows makes sense: GoogleTest reports it as a failure.
        if (!client->introduce(4) || client->join() != uint32_t{IVPCI_ACK_OK}) {
            throw std::runtime_error("cannot become a member");
        }
        return client;
    }

    TempDir dir;
    std::string socket = dir.path("sock");
    std::unique_ptr<Process> broker;
};

}  // namespace smc_steer::tests

#endif  // SMC_STEER_TESTS_BROKER_BROKER_FIXTURE_H
