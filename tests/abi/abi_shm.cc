// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <ivpci/shm_abi.h>
TEST(Shm, HeaderSize) { EXPECT_EQ(sizeof(ivpci_header), 256U); }
