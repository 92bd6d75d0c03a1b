// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/kernel/sockmap_gate.h"

namespace smc_steer {
namespace {

std::string refused(const std::string& release, const std::string& version = "#1 SMP") {
    return sockmap_refused(release, version).value_or("");
}

TEST(SockmapGate, DebiansStableReleaseIsInItsVersion) {
    EXPECT_EQ(refused("6.1.0-50-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)"),
              "");
    EXPECT_EQ(refused("6.1.0-20-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.85-1 (2024-04-11)"),
              "6.1.85: close() races the last reference to a socket in a sockmap (4b4647add7d3), "
              "fixed in 6.1.95");
    EXPECT_EQ(refused("6.1.130").substr(0, 35), "6.1.130: MPTCP subflows get into a ");
}

TEST(SockmapGate, WhatWasNotLookedAtIsRefused) {
    for (const char* release : {"5.15.190", "6.2.0", "6.6.100", "6.17.3", "6.12.59"}) {
        EXPECT_NE(refused(release), "") << release;
    }
    for (const char* release : {"6.12.60", "6.18.0", "7.3.4", "8.0"}) {
        EXPECT_EQ(refused(release), "") << release;
    }
    EXPECT_NE(refused("mine"), "");
    EXPECT_NE(refused("6"), "");
    EXPECT_NE(refused(""), "");
}

}  // namespace
}  // namespace smc_steer
