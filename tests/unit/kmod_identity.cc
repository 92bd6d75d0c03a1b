// SPDX-License-Identifier: Apache-2.0
// The driver's look at the header's unchanging words: each of them is noticed, by its name, and
// none that may change.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/kmod_accessors.h"
//
#include "kmod/ivpci_identity.h"

namespace {

// Not members: the structure ends in an array of no size.
ivpci_header shown;
ivpci_header known;

struct Header : ::testing::Test {
    Header() {
        std::memset(&shown, 0x5a, sizeof(shown));
        ivpci_identity_copy(&known, &shown);
    }
    static const char* differs() { return ivpci_identity_differs(&known, &shown); }
};

TEST_F(Header, AsItWas) { EXPECT_EQ(differs(), nullptr); }

TEST_F(Header, WhatChangesIsNotLookedAt) {
    shown.broker_pid++;
    shown.broker_heartbeat++;
    EXPECT_EQ(differs(), nullptr);
}

TEST_F(Header, EveryFieldByItsName) {
#define EXPECT_NOTICED(field)                                                       \
    for (size_t byte = 0; byte < sizeof(shown.field); ++byte) {                     \
        reinterpret_cast<char*>(&shown)[offsetof(ivpci_header, field) + byte] ^= 1; \
        EXPECT_STREQ(differs(), #field) << "byte " << byte;                         \
        reinterpret_cast<char*>(&shown)[offsetof(ivpci_header, field) + byte] ^= 1; \
    }
    EXPECT_NOTICED(magic)
    EXPECT_NOTICED(version)
    EXPECT_NOTICED(slots)
    EXPECT_NOTICED(uuid)
    EXPECT_NOTICED(size)
    EXPECT_NOTICED(area_off)
    EXPECT_NOTICED(area_size)
    EXPECT_NOTICED(chunk_off)
    EXPECT_NOTICED(chunks)
    EXPECT_NOTICED(lease_off)
    EXPECT_NOTICED(fabric_id)
#undef EXPECT_NOTICED
    EXPECT_EQ(differs(), nullptr);
}

}  // namespace
