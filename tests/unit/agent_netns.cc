// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include "agent/kernel/netns.h"

namespace smc_steer {
namespace {

TEST(Netns, OursIsListedWithAPathThatOpensIt) {
    auto found = list_netns();
    auto own = found.find(own_netns());
    ASSERT_NE(own, found.end());
    auto fd = open_netns(own->second, own->first);
    ASSERT_TRUE(fd) << fd.error().message;
    EXPECT_TRUE(*fd);
}

// Processes end, and enter others, between the listing and the opening: no error, and no reason to
// leave the namespace alone from then on.
TEST(Netns, OneThatIsGoneFromThereIsNoError) {
    auto own = own_netns();
    for (const auto& [path, id] : {std::pair<std::string, NetnsId>{"/proc/0/ns/net", own},
                                   {"/proc/self/ns/net", {own.device, own.inode + 1}}}) {
        auto fd = open_netns(path, id);
        ASSERT_TRUE(fd) << fd.error().message;
        EXPECT_FALSE(*fd) << path;
    }
}

// No process has room for such a stack.
[[noreturn]] void enter_without_room() {
    auto own = own_netns();
    auto fd = open_netns("/proc/thread-self/ns/net", own);
    pthread_attr_t large;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, std::size_t{1} << 47);
    pthread_setattr_default_np(&large);
    auto done = run_in_netns(*fd, [] { return Result<void>(); });
    _exit(!done && done.error().code == EAGAIN ? 7 : 8);
}

TEST(Netns, WithoutRoomForAThreadNobodyEndsForIt) {
    EXPECT_EXIT(enter_without_room(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace smc_steer
