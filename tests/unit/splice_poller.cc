// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/base/acceptor.h"
#include "agent/splice/poller.h"

namespace smc_steer {
namespace {

using Clock = std::chrono::steady_clock;

// Never takes what is there.
struct Helpless : Poller::Watcher {
    explicit Helpless(Poller& poller_in, int fd_in) : poller(poller_in), fd(fd_in) {}
    void on_events(std::uint32_t /*events*/) override {
        calls++;
        poller.rest(fd, *this);
    }
    Poller& poller;
    int fd;
    int calls = 0;
};

TEST(SplicePoller, WhatCannotBeTakenIsNotToldOfAllTheTime) {
    auto poller = Poller::create();
    ASSERT_TRUE(poller);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    UniqueFd from(ends[0]), to(ends[1]);
    ASSERT_EQ(write(to.get(), "x", 1), 1);
    auto helpless = std::make_unique<Helpless>(*poller, from.get());
    auto* raw = helpless.get();
    ASSERT_TRUE(poller->watch_readable(from.get(), *helpless));
    const auto until = Clock::now() + 2 * kAcceptPause + kAcceptPause / 2;
    while (Clock::now() < until) {
        poller->turn(std::chrono::milliseconds(20));
    }
    EXPECT_GE(raw->calls, 2) << "it is told again";
    EXPECT_LE(raw->calls, 4);
    poller->unwatch(from.get());
    poller->bury(std::move(helpless));
    poller->turn(std::chrono::milliseconds(0));
    poller->sweep();
}

}  // namespace
}  // namespace smc_steer
