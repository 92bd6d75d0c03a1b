// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>

#include "agent/kernel/smc_bounds.h"
#include "agent/policy/trust.h"
#include "tests/unit/directory_test.h"

namespace smc_steer {
namespace {

TEST(Trust, EitherTheKernelBoundsItOrTheOperatorTrusts) {
    EXPECT_FALSE(may_steer_to_smc(false, Trust::none));
    EXPECT_TRUE(may_steer_to_smc(false, Trust::region));
    EXPECT_TRUE(may_steer_to_smc(true, Trust::none));
    EXPECT_TRUE(may_steer_to_smc(true, Trust::region));
}

TEST(Trust, WhatTheModuleSays) {
    for (const char* yes : {"Y", "Y\n", "1", "1\n", "2", "17\n"}) {
        EXPECT_TRUE(says_bounded(yes)) << yes;
    }
    for (const char* no : {"", "\n", "N", "N\n", "0", "0\n", "-1", "+1", "y", "Yes", "1x", "0x1",
                           " 1", "99999999999999999999"}) {
        EXPECT_FALSE(says_bounded(no)) << no;
    }
}

using SmcBounds = DirectoryTest;

TEST_F(SmcBounds, AreThoseOfTheFile) {
    std::string file = dir_ / "bounded";
    EXPECT_FALSE(smc_bounds_peer_memory(file)) << "a kernel without the parameter";
    std::ofstream(file) << "N\n";
    EXPECT_FALSE(smc_bounds_peer_memory(file));
    std::ofstream(file) << "1\n";
    EXPECT_TRUE(smc_bounds_peer_memory(file));
}

TEST(Trust, WhyNothingIsSteeredIsOneLineThatSaysWhatToWrite) {
    auto line = not_trusted("6.1.0");
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_NE(line.find("kernel 6.1.0"), std::string::npos);
    EXPECT_NE(line.find("'trust: region' into agent.yaml"), std::string::npos);
}

}  // namespace
}  // namespace smc_steer
