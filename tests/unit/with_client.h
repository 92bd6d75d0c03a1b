// SPDX-License-Identifier: Apache-2.0
// A loop that runs beside a client on a thread of its own.
#ifndef SMC_STEER_TESTS_UNIT_WITH_CLIENT_H
#define SMC_STEER_TESTS_UNIT_WITH_CLIENT_H

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "agent/base/event_loop.h"

namespace smc_steer {

// Runs the loop until `client` is done. sd-event's loop ends with that: once for each loop.
template <typename F>
void with_client(EventLoop& loop, F client) {
    std::atomic<bool> done{false};
    // Before the client, who may see to it that there are no descriptors for them.
    auto poll = loop.every(std::chrono::milliseconds(1), [&] {
        if (done) {
            loop.exit(0);
        }
    });
    auto limit = loop.after(std::chrono::seconds(30), [&] { loop.exit(1); });
    ASSERT_TRUE(poll && limit);
    std::thread thread([&] {
        client();
        done = true;
    });
    EXPECT_EQ(*loop.run(), 0);
    thread.join();
}

}  // namespace smc_steer

#endif  // SMC_STEER_TESTS_UNIT_WITH_CLIENT_H
