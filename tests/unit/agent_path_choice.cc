// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/daemon/path_choice.h"

namespace smc_steer {
namespace {

constexpr Paths kSmc{true, false}, kDirect{false, true}, kBoth{true, true}, kNone{false, false};

TEST(PathChoice, WhatAgentYamlSaysAndTheKernelHas) {
    auto chosen = [](const char* word, bool loaded) {
        return choose_paths(parse_config(std::string("path: ") + word, "a").value(), loaded);
    };
    EXPECT_EQ(chosen("auto", false), kSmc);
    EXPECT_EQ(chosen("auto", true), kDirect);
    EXPECT_EQ(chosen("smc", false), kSmc);
    EXPECT_EQ(chosen("smc", true), kBoth);
    for (bool loaded : {false, true}) {
        EXPECT_EQ(chosen("direct", loaded), kDirect);
        EXPECT_EQ(chosen("off", loaded), kNone);
    }
}

TEST(PathChoice, AModuleThatComesIsNoticed) {
    PathChange change;
    for (unsigned look = 1; look < PathChange::kLooks; look++) {
        EXPECT_FALSE(change.is_due(kSmc, kDirect)) << look;
    }
    EXPECT_TRUE(change.is_due(kSmc, kDirect));
    EXPECT_FALSE(change.is_due(kSmc, kDirect)) << "if it could not be, not again at once";
}

TEST(PathChoice, AModuleThatIsReplacedIsNot) {
    PathChange change;
    for (int round = 0; round < 100; round++) {
        for (unsigned look = 1; look < PathChange::kLooks; look++) {
            EXPECT_FALSE(change.is_due(kDirect, kSmc));
        }
        EXPECT_FALSE(change.is_due(kDirect, kDirect));
    }
}

}  // namespace
}  // namespace smc_steer
