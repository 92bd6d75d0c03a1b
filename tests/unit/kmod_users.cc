// SPDX-License-Identifier: Apache-2.0
// The driver's count of who uses an attachment: its claim is dropped a whole grace period after the
// last one went, whoever comes and goes meanwhile.
#include <gtest/gtest.h>

#include "tests/unit/kmod_accessors.h"
//
#include "kmod/ivpci_users.h"

namespace {

TEST(KmodUsers, TheLastOneBeginsAGracePeriod) {
    ivpci_users users{};
    ivpci_use(&users, false);
    ivpci_use(&users, true);
    EXPECT_FALSE(ivpci_unuse(&users, false));
    EXPECT_TRUE(ivpci_used(&users));
    EXPECT_TRUE(ivpci_unuse(&users, true));
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_OVER);
}

TEST(KmodUsers, WhoCameMeanwhileKeepsIt) {
    ivpci_users users{};
    ivpci_use(&users, false);
    EXPECT_TRUE(ivpci_unuse(&users, false));
    ivpci_use(&users, false);
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_USED);
    // And begins one of its own, which is a whole one.
    EXPECT_TRUE(ivpci_unuse(&users, false));
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_OVER);
}

// Its readers may have come after the grace period began.
TEST(KmodUsers, WhoCameAndWentMeanwhileHasAWholeOne) {
    ivpci_users users{};
    ivpci_use(&users, false);
    EXPECT_TRUE(ivpci_unuse(&users, false));
    for (int i = 0; i < 3; i++) {
        ivpci_use(&users, true);
        EXPECT_FALSE(ivpci_unuse(&users, true)) << "one is awaited already";
    }
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_AGAIN);
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_OVER);
}

TEST(KmodUsers, InTheSecondOneAsInTheFirst) {
    ivpci_users users{};
    ivpci_use(&users, false);
    EXPECT_TRUE(ivpci_unuse(&users, false));
    ivpci_use(&users, false);
    EXPECT_FALSE(ivpci_unuse(&users, false));
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_AGAIN);
    ivpci_use(&users, false);
    EXPECT_FALSE(ivpci_unuse(&users, false));
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_AGAIN);
    EXPECT_EQ(ivpci_grace_passed(&users), IVPCI_GRACE_OVER);
}

}  // namespace
