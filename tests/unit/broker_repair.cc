// SPDX-License-Identifier: Apache-2.0
// What members write into the header, which is the broker's alone, is found and put right.
#include <cstring>
#include <vector>

#include "tests/unit/broker_fixture.h"

namespace smc_steer::broker {
namespace {

class Repair : public RegionTest {
protected:
    // The header with slots and leases, but for what has no right value of its own.
    std::vector<__u32> words() {
        const auto* first = reinterpret_cast<const __u32*>(view.base);
        return {first, first + view.layout.area_off / sizeof(__u32)};
    }
    // LIVE with leases, condemned by a claim, CONNECTED, EMPTY.
    void populate() {
        uint32_t a = connect_and_join();
        uint32_t b = connect_and_join();
        ASSERT_EQ(request(a, IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
        ASSERT_EQ(request(b, IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
        view.claims(a, b)[7] = 1;
        membership->disconnect(b);
        ASSERT_TRUE(membership->connect());
    }
};

TEST_F(Repair, WhatTheBrokerWroteIsRight) {
    EXPECT_EQ(membership->repair(), 0U);
    populate();
    EXPECT_EQ(membership->repair(), 0U);
    restart();
    EXPECT_EQ(membership->repair(), 0U);
    EXPECT_EQ(membership->counts().header_repaired, 0U);
}

TEST_F(Repair, EveryWordOfTheIdentity) {
    populate();
    const auto right = words();
    auto* header = reinterpret_cast<__u32*>(view.base);
    for (size_t i = 0; i < offsetof(ivpci_header, fabric_id) / sizeof(__u32); ++i) {
        header[i] ^= 0x10;
        EXPECT_EQ(membership->repair(), 1U) << "word " << i;
        EXPECT_EQ(words(), right) << "word " << i;
    }
    view.header().fabric_id ^= 1;
    view.header().era ^= 1;
    EXPECT_EQ(membership->repair(), 2U);
    EXPECT_EQ(words(), right);
}

TEST_F(Repair, SlotsAndLeases) {
    populate();
    const auto right = words();
    for (uint32_t s = 1; s <= view.layout.slots; ++s) {
        view.header().slot[s].state += 1;
        view.header().slot[s].generation += 1;
        view.header().slot[s].gid += 1;
        view.header().slot[s].chunks += 1;
        view.header().slot[s].ack_seq += 1;
        view.header().slot[s].era += 1;
    }
    EXPECT_EQ(membership->repair(), 6 * view.layout.slots);
    EXPECT_EQ(words(), right);
    for (uint32_t c = 0; c < view.layout.chunks; ++c) {
        view.leases()[c] += 1;
    }
    EXPECT_EQ(membership->repair(), view.layout.chunks);
    EXPECT_EQ(words(), right);
    EXPECT_EQ(membership->counts().header_repaired, 6 * view.layout.slots + view.layout.chunks);
}

}  // namespace
}  // namespace smc_steer::broker
