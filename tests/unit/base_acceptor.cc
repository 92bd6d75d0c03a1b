// SPDX-License-Identifier: Apache-2.0
// Connections that cannot be accepted for want of descriptors wait, and nobody spins meanwhile.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <vector>

#include "agent/base/acceptor.h"
#include "agent/base/unique_fd.h"
#include "tests/unit/few_descriptors.h"
#include "tests/unit/log_capture.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

class AcceptorTest : public ::testing::Test {
protected:
    void SetUp() override {
        loop.emplace(*EventLoop::create());
        limit = *loop->after(10s, [this] { loop->exit(99); });
        listener = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        client = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        socklen_t size = sizeof(sa_family_t);
        address.sun_family = AF_UNIX;  // the kernel chooses an abstract name
        ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        ASSERT_EQ(listen(listener.get(), 4), 0);
        size = sizeof(address);
        ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        ASSERT_TRUE(acceptor.start(*loop, listener.get(), [this]() -> Result<void> {
            asked++;
            UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!fd) {
                return nobody_came(errno) ? Result<void>() : fail_errno("cannot accept");
            }
            accepted.push_back(std::move(fd));
            loop->exit(0);
            return {};
        }));
    }

    std::optional<EventLoop> loop;
    EventSource limit;
    UniqueFd listener, client;
    int asked = 0;
    std::vector<UniqueFd> accepted;
    Acceptor acceptor;
};

TEST_F(AcceptorTest, TakesWhoComes) {
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(accepted.size(), 1U);
}

TEST_F(AcceptorTest, WithoutDescriptorsItWaitsAndDoesNotSpin) {
    LogCapture log;
    std::optional<NoMoreDescriptors> none(std::in_place);
    auto again = loop->after(3 * kAcceptPause + kAcceptPause / 2, [&] { none.reset(); });
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(accepted.size(), 1U) << "it was in the backlog";
    EXPECT_LE(asked, 6);
    EXPECT_EQ(log.lines(), 1) << log.text();
    EXPECT_NE(log.text().find("error: cannot accept: Too many open files"), std::string::npos)
        << log.text();
}

}  // namespace
}  // namespace smc_steer
