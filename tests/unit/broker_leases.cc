// SPDX-License-Identifier: Apache-2.0
#include "broker/leases.h"
#include "tests/unit/broker_fixture.h"

namespace smc_steer::broker {
namespace {

class LeaseTest : public RegionTest {
protected:
    void SetUp() override {
        RegionTest::SetUp();
        owner = connect_and_join();
        writer = connect_and_join();
        other = connect_and_join();
        ASSERT_EQ(request(owner, IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    }
    uint32_t& claim(uint32_t by, uint32_t index) { return view.claims(by, owner)[index]; }
    uint32_t free() { return membership->leases().free(); }
    uint32_t all() { return view.layout.chunks; }

    uint32_t owner = 0, writer = 0, other = 0;
};

TEST_F(LeaseTest, AreShownWithHolderAndGeneration) {
    EXPECT_EQ(view.leases()[0], ivpci_lease(owner, 1));
    EXPECT_EQ(view.leases()[2], ivpci_lease(owner, 1));
    EXPECT_EQ(view.leases()[3], 0U);
    EXPECT_EQ(shown(owner).chunks, 3U);
}

TEST_F(LeaseTest, AsManyAsThereAreThenFull) {
    EXPECT_EQ(request(writer, IVPCI_OP_LEASE, ~0U), IVPCI_ACK_OK);
    EXPECT_EQ(shown(writer).chunks, all() - 3);
    EXPECT_EQ(request(other, IVPCI_OP_LEASE, 1), IVPCI_ACK_FULL);
    EXPECT_EQ(shown(other).chunks, 0U);
}

TEST_F(LeaseTest, ReturnedChunksAreFree) {
    EXPECT_EQ(request(owner, IVPCI_OP_RETURN, 1), IVPCI_ACK_OK);
    EXPECT_EQ(view.leases()[1], 0U);
    EXPECT_EQ(shown(owner).chunks, 2U);
    EXPECT_EQ(request(owner, IVPCI_OP_RETURN, 1), IVPCI_ACK_INVALID) << "twice";
    EXPECT_EQ(request(writer, IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_EQ(view.leases()[1], ivpci_lease(writer, 1)) << "the lowest free one";
}

TEST_F(LeaseTest, OnlyTheHolderReturns) {
    EXPECT_EQ(request(writer, IVPCI_OP_RETURN, 0), IVPCI_ACK_INVALID);
    EXPECT_EQ(request(writer, IVPCI_OP_RETURN, all()), IVPCI_ACK_INVALID);
    EXPECT_EQ(request(writer, IVPCI_OP_RETURN, ~0U), IVPCI_ACK_INVALID);
    EXPECT_EQ(view.leases()[0], ivpci_lease(owner, 1));
}

TEST_F(LeaseTest, LeaseOfNothingIsRefused) {
    EXPECT_EQ(request(owner, IVPCI_OP_LEASE, 0), IVPCI_ACK_INVALID);
}

TEST_F(LeaseTest, UnclaimedMemoryOfADeadMemberIsFreeAtOnce) {
    membership->disconnect(owner);
    EXPECT_EQ(free(), all());
    EXPECT_FALSE(membership->reclaim_pending());
}

TEST_F(LeaseTest, AClaimHoldsADeadMembersMemory) {
    claim(writer, 4095) = 77;
    membership->disconnect(owner);
    EXPECT_TRUE(membership->reclaim_pending());
    EXPECT_EQ(leases_shown(ivpci_lease(owner, 0)), 3U) << "condemned: no generation is 0";
    EXPECT_TRUE(membership->reclaim());
    EXPECT_EQ(free(), all() - 3);

    claim(writer, 4095) = 0;
    EXPECT_FALSE(membership->reclaim());
    EXPECT_EQ(free(), all());
    EXPECT_EQ(leases_shown(0), all());
}

TEST_F(LeaseTest, TheWritersDeathEndsItsClaims) {
    claim(writer, 0) = 1;
    membership->disconnect(owner);
    EXPECT_TRUE(membership->reclaim_pending());
    membership->disconnect(writer);
    EXPECT_FALSE(membership->reclaim_pending());
    EXPECT_EQ(free(), all());
}

TEST_F(LeaseTest, TheWritersRebootEndsItsClaims) {
    claim(writer, 0) = 1;
    membership->disconnect(owner);
    join(writer);  // its area is not cleared here: the generation alone must do
    EXPECT_FALSE(membership->reclaim_pending());
}

TEST_F(LeaseTest, EveryClaimCounts) {
    claim(writer, 0) = 1;
    claim(other, 9) = 2;
    membership->disconnect(owner);
    claim(writer, 0) = 0;
    EXPECT_TRUE(membership->reclaim());
    claim(other, 9) = 0;
    EXPECT_FALSE(membership->reclaim());
}

TEST_F(LeaseTest, ClaimsOnTheNextGenerationDoNotHoldTheOldMemory) {
    claim(writer, 0) = 1;
    ASSERT_EQ(join(owner), IVPCI_ACK_OK);
    ASSERT_EQ(request(owner, IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_EQ(view.leases()[3], ivpci_lease(owner, 2)) << "0..2 are still condemned";

    claim(writer, 5) = 123;  // a new DMB
    claim(writer, 0) = 124;  // the old one let go, its index used again
    EXPECT_FALSE(membership->reclaim());
    EXPECT_EQ(free(), all() - 1);
    EXPECT_EQ(view.leases()[3], ivpci_lease(owner, 2));
}

TEST_F(LeaseTest, CondemnedChunksAreNeitherLeasedNorReturned) {
    claim(writer, 0) = 1;
    join(owner);
    EXPECT_EQ(request(owner, IVPCI_OP_RETURN, 0), IVPCI_ACK_INVALID);
    EXPECT_EQ(request(other, IVPCI_OP_LEASE, ~0U), IVPCI_ACK_OK);
    EXPECT_EQ(shown(other).chunks, all() - 3);
}

TEST_F(LeaseTest, TwoDeadGenerationsOfOneSlot) {
    claim(writer, 0) = 1;
    join(owner);
    request(owner, IVPCI_OP_LEASE, 2);
    claim(writer, 1) = 2;
    membership->disconnect(owner);
    EXPECT_EQ(leases_shown(ivpci_lease(owner, 0)), 5U);
    claim(writer, 0) = 0;
    EXPECT_TRUE(membership->reclaim());
    claim(writer, 1) = 0;
    EXPECT_FALSE(membership->reclaim());
    EXPECT_EQ(free(), all());
}

TEST_F(LeaseTest, AnOwnersClaimsOnItselfAreNonsense) {
    claim(owner, 0) = 1;
    membership->disconnect(owner);
    EXPECT_FALSE(membership->reclaim_pending());
}

TEST_F(LeaseTest, ASlotWithCondemnedLeasesIsUsedLastAndWorks) {
    claim(writer, 0) = 1;
    membership->disconnect(owner);
    EXPECT_EQ(membership->connect(), 4U);
    EXPECT_EQ(membership->connect(), owner) << "no other is left";
    EXPECT_EQ(join(owner), IVPCI_ACK_OK);
    EXPECT_EQ(shown(owner).generation, 2U);
    EXPECT_EQ(request(owner, IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_TRUE(membership->reclaim());
}

TEST_F(LeaseTest, LeaveCondemnsToo) {
    claim(writer, 0) = 1;
    EXPECT_EQ(request(owner, IVPCI_OP_LEAVE), IVPCI_ACK_OK);
    EXPECT_EQ(shown(owner).chunks, 0U);
    EXPECT_EQ(leases_shown(ivpci_lease(owner, 0)), 3U);
}

}  // namespace
}  // namespace smc_steer::broker
