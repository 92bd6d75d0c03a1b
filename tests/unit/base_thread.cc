// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>

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

// No memory for the stack of one more.
[[noreturn]] void start_one_too_many() {
    pthread_attr_t large;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, std::size_t{1} << 30);
    pthread_setattr_default_np(&large);
    rlimit little{std::size_t{512} << 20, std::size_t{512} << 20};
    setrlimit(RLIMIT_AS, &little);
    auto thread = start_thread([] {});
    _exit(!thread && thread.error().code == EAGAIN ? 7 : 8);
}

TEST(Thread, ThatCannotBeStartedIsAnError) {
    EXPECT_EXIT(start_one_too_many(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace smc_steer
