// SPDX-License-Identifier: Apache-2.0
// What an agent hears when the driver refuses rings: only a lack of memory is one.
#include <gtest/gtest.h>

#include "kmod/tcp_ivpci_errors.h"

namespace {

TEST(KmodErrors, EachIsSaidAsWhatItIs) {
    auto made = [](long error) { return tcp_ivpci_refusal(error, DIRECT_NO_PEER); };
    EXPECT_EQ(made(-ENOSPC), DIRECT_NO_MEMORY);
    EXPECT_EQ(made(-ENOMEM), DIRECT_NO_MEMORY);
    EXPECT_EQ(made(-ENODEV), DIRECT_NO_DRIVER);
    EXPECT_EQ(made(-ENETUNREACH), DIRECT_NO_PEER);
    EXPECT_EQ(made(-ENETDOWN), DIRECT_NO_PEER);
    EXPECT_EQ(made(-EACCES), DIRECT_NO_PEER);
    auto connected = [](long error) { return tcp_ivpci_refusal(error, DIRECT_NO_RING); };
    EXPECT_EQ(connected(-ENOENT), DIRECT_NO_RING);
    EXPECT_EQ(connected(-EBUSY), DIRECT_NO_RING);
    EXPECT_EQ(connected(-ENETUNREACH), DIRECT_NO_PEER);
}

}  // namespace
