// SPDX-License-Identifier: Apache-2.0
// The driver's allocation map, compiled for userspace: what it hands out never overlaps, is aligned
// to its size, and comes back to the last bit.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "kmod/ivpci_alloc.h"

namespace {

TEST(KmodAlloc, LengthsOfDmbs) {
    EXPECT_EQ(ivpci_dmb_order(16 << 10), 0);
    EXPECT_EQ(ivpci_dmb_order(64 << 10), 2);
    EXPECT_EQ(ivpci_dmb_order(1 << 20), 6);
    EXPECT_EQ(ivpci_dmb_order(2 << 20), -1);
    EXPECT_EQ(ivpci_dmb_order(0), -1);
    EXPECT_EQ(ivpci_dmb_order((16 << 10) + 1), -1);
    EXPECT_EQ(ivpci_dmb_order(1ULL << 32), -1);
}

TEST(KmodAlloc, WholeChunkThenNothing) {
    __u64 map = 0;
    EXPECT_EQ(ivpci_run_take(&map, IVPCI_CHUNK_ORDER), 0);
    EXPECT_EQ(map, ~0ULL);
    EXPECT_EQ(ivpci_run_take(&map, 0), -1);
    ivpci_run_give(&map, 0, IVPCI_CHUNK_ORDER);
    EXPECT_EQ(map, 0u);
}

TEST(KmodAlloc, SmallOnesFillTheChunk) {
    __u64 map = 0;
    for (unsigned unit = 0; unit < IVPCI_UNITS_PER_CHUNK; unit++) {
        EXPECT_EQ(ivpci_run_take(&map, 0), static_cast<int>(unit));
    }
    EXPECT_EQ(ivpci_run_take(&map, 0), -1);
}

TEST(KmodAlloc, AlignedRunSkipsTakenUnits) {
    __u64 map = 0b10;  // unit 1 is taken: no pair at 0
    EXPECT_EQ(ivpci_run_take(&map, 1), 2);
    EXPECT_EQ(ivpci_run_take(&map, 0), 0);
}

TEST(KmodAlloc, LargestFreeRun) {
    EXPECT_EQ(ivpci_run_largest(0), IVPCI_CHUNK_ORDER);
    EXPECT_EQ(ivpci_run_largest(~0ULL), -1);
    EXPECT_EQ(ivpci_run_largest(1), 5);           // the upper half
    EXPECT_EQ(ivpci_run_largest(~0b1111ULL), 2);  // four units from 0
    EXPECT_EQ(ivpci_run_largest(~0b0110ULL), 0);  // two units, but not as a pair
}

TEST(KmodAlloc, RandomTakesAndGivesNeverOverlap) {
    std::mt19937 random(20221);
    __u64 map = 0;
    std::map<int, unsigned> held;  // first unit -> order

    for (int step = 0; step < 100000; step++) {
        if (held.empty() || random() % 2) {
            const unsigned order = random() % (IVPCI_CHUNK_ORDER + 1);
            const __u64 before = map;
            const int largest = ivpci_run_largest(map);
            const int unit = ivpci_run_take(&map, order);
            ASSERT_EQ(unit<0, static_cast<int>(order)> largest);
            if (unit < 0) {
                ASSERT_EQ(map, before);
                continue;
            }
            const __u64 taken = ivpci_run_mask(order) << unit;
            ASSERT_EQ(unit % (1 << order), 0);
            ASSERT_EQ(before & taken, 0u);
            ASSERT_EQ(map, before | taken);
            held[unit] = order;
        } else {
            auto victim =
                std::next(held.begin(), static_cast<std::ptrdiff_t>(random() % held.size()));
            ivpci_run_give(&map, victim->first, victim->second);
            held.erase(victim);
        }
    }
    for (const auto& [unit, order] : held) {
        ivpci_run_give(&map, unit, order);
    }
    EXPECT_EQ(map, 0u);
}

}  // namespace
