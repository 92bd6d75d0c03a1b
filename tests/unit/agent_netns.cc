// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace smc_steer
