// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/kernel/eid.h"

namespace smc_steer {
namespace {

TEST(AgentEid, OfARegion) {
    std::array<std::uint8_t, 16> uuid{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    EXPECT_EQ(eid_of_region(uuid), "SMC-STEER-0123456789ABCDEF");
    EXPECT_TRUE(check_eid(eid_of_region(uuid)));
    uuid[15] = 1;  // beyond the 8 bytes that count
    EXPECT_EQ(eid_of_region(uuid), "SMC-STEER-0123456789ABCDEF");
    uuid[7] = 0;
    EXPECT_EQ(eid_of_region(uuid), "SMC-STEER-0123456789ABCD00");
}

TEST(AgentEid, PaddedToTheKernelsLength) {
    EXPECT_EQ(pad_eid("A"), "A" + std::string(31, ' '));
    EXPECT_EQ(pad_eid(std::string(32, 'A')), std::string(32, 'A'));
}

TEST(AgentEid, TheKernelsRule) {
    for (const char* good : {"A", "0.-", "SMC-STEER-0123456789ABCDEF"}) {
        EXPECT_TRUE(check_eid(good));
    }
    for (const char* bad : {"", "-A", ".A", "a", "A B", "A_B", "\xc3\x84"}) {
        EXPECT_FALSE(check_eid(bad)) << bad;
    }
    EXPECT_TRUE(check_eid(std::string(32, 'X')));
    EXPECT_FALSE(check_eid(std::string(33, 'X')));
}

}  // namespace
}  // namespace smc_steer
