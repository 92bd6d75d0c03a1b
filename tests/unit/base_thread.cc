// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include "agent/base/thread.h"

namespace smc_steer {
namespace {

TEST(Thread, Runs) {
    int done = 0;
    auto thread = start_thread([&] { done = 1; });
    ASSERT_TRUE(thread);
    thread->join();
    EXPECT_EQ(done, 1);
}

// No process has room for such a stack.
[[noreturn]] void start_one_too_many() {
    pthread_attr_t large;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, std::size_t{1} << 47);
    pthread_setattr_default_np(&large);
    auto thread = start_thread([] {});
    _exit(!thread && thread.error().code == EAGAIN ? 7 : 8);
}

TEST(Thread, ThatCannotBeStartedIsAnError) {
    EXPECT_EXIT(start_one_too_many(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace smc_steer
