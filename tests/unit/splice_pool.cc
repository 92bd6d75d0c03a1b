// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <vector>

#include "agent/splice/pool.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

class SplicePool : public testing::Test {
protected:
    // One end, which the pool gets; the other is kept in `others`.
    UniqueFd wire() {
        int fds[2] = {-1, -1};
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        others.emplace_back(fds[1]);
        return UniqueFd(fds[0]);
    }

    Poller poller = std::move(*Poller::create());
    WirePool pool{poller};
    const WirePool::Key here{1, *Address::parse("10.0.0.1")};
    const WirePool::Key there{1, *Address::parse("10.0.0.2")};
    std::vector<UniqueFd> others;
};

TEST_F(SplicePool, TheLastOneComesBackFirst) {
    auto first = wire(), second = wire();
    int numbers[] = {first.get(), second.get()};
    pool.give(here, std::move(first), 0);
    pool.give(here, std::move(second), 0);
    EXPECT_FALSE(pool.take(there));
    EXPECT_EQ(pool.take(here)->get(), numbers[1]);
    EXPECT_EQ(pool.take(here)->get(), numbers[0]);
    EXPECT_FALSE(pool.take(here));
}

TEST_F(SplicePool, OneThatEndsOrSpeaksIsDropped) {
    pool.give(here, wire(), 0);
    pool.give(here, wire(), 0);
    poller.turn(1ms);
    others[0].reset();
    ASSERT_EQ(send(others[1].get(), "x", 1, 0), 1);
    poller.turn(1ms);
    EXPECT_FALSE(pool.take(here));
}

TEST_F(SplicePool, NotManyAndNotForLong) {
    for (int i = 0; i < 100; i++) {
        pool.give(here, wire(), 0);
    }
    int kept = 0;
    for (auto idle = pool.take(here); idle; idle = pool.take(here)) {
        kept++;
    }
    EXPECT_EQ(kept, 8);
    pool.give(here, wire(), 0);
    pool.tick(9'000'000'000);
    EXPECT_TRUE(pool.take(here));
    pool.give(here, wire(), 0);
    pool.tick(11'000'000'000);
    EXPECT_FALSE(pool.take(here));
}

}  // namespace
}  // namespace smc_steer
