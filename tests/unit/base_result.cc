// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/base/result.h"

namespace smc_steer {
namespace {

TEST(Result, FailFormats) {
    Result<int> r = fail("port {}: out of range", 70000);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().message, "port 70000: out of range");
    EXPECT_EQ(r.error().code, 0);
}

TEST(Result, FailErrnoTakesErrnoOfTheLastCall) {
    ASSERT_EQ(close(-1), -1);
    Result<void> r = fail_errno("close");
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().message, "close: Bad file descriptor");
    EXPECT_EQ(r.error().code, EBADF);
}

TEST(Result, ContextGoesInFrontAndKeepsTheCode) {
    Result<int> inner = fail_errno(ENOENT, "open {}", "x");
    Result<void> outer = forward_error(std::move(inner), "while reading the policy");
    ASSERT_FALSE(outer);
    EXPECT_EQ(outer.error().message, "while reading the policy: open x: No such file or directory");
    EXPECT_EQ(outer.error().code, ENOENT);
}

}  // namespace
}  // namespace smc_steer
