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
    EXPECT_TRUE(chosen("auto", true).only_direct());
    EXPECT_FALSE(chosen("auto", false).only_direct() || chosen("smc", true).only_direct());
    EXPECT_FALSE(chosen("off", true).only_direct());
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

// Each attempt looks through the kernel's types, or costs the session that runs.
TEST(PathChoice, WhatCannotBeIsTriedEverMoreSeldom) {
    PathChange change;
    std::vector<unsigned> due;
    for (unsigned look = 1; look <= 10 * PathChange::kAgain; look++) {
        if (change.is_due(kDirect, kSmc)) {
            due.push_back(look);
        }
    }
    constexpr auto kAgain = PathChange::kAgain;
    EXPECT_EQ(due, (std::vector{PathChange::kLooks, kAgain, 2 * kAgain, 4 * kAgain, 8 * kAgain}));
}

TEST(PathChoice, WhatCannotStartIsFollowedByWhatRan) {
    std::vector<Paths> tried;
    auto start = [&tried](const Paths& paths) {
        tried.push_back(paths);
        return paths == kDirect ? "the port is in use" : "";
    };
    EXPECT_EQ(start_one_of({kDirect, kSmc}, start), std::vector<std::string>{"the port is in use"});
    EXPECT_EQ(tried, (std::vector{kDirect, kSmc}));
    tried.clear();
    EXPECT_TRUE(start_one_of({kSmc, kDirect}, start).empty());
    EXPECT_EQ(tried, std::vector{kSmc}) << "one is enough";
    EXPECT_EQ(start_one_of({kDirect, kDirect}, start).size(), 2U) << "none runs";
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
