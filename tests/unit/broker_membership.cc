// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "broker/membership.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/log_capture.h"

namespace smc_steer::broker {
namespace {

using MembershipTest = RegionTest;

TEST_F(MembershipTest, HeaderOfAFreshRegion) {
    const ivpci_header& header = view.header();
    EXPECT_EQ(header.magic, IVPCI_SHM_MAGIC);
    EXPECT_EQ(header.version, 1U);
    EXPECT_EQ(header.slots, 4U);
    EXPECT_EQ(header.size, 32U << 20);
    EXPECT_EQ(header.area_off, view.layout.area_off);
    EXPECT_EQ(header.area_size, view.layout.area_size);
    EXPECT_EQ(header.chunk_off, view.layout.chunk_off);
    EXPECT_EQ(header.chunks, view.layout.chunks);
    EXPECT_EQ(header.lease_off, view.layout.lease_off);
    EXPECT_EQ(header.broker_pid, 4711U);
    EXPECT_GE(header.fabric_id, 0x0100);
    EXPECT_LE(header.fabric_id, 0xfeff);
    EXPECT_EQ(membership->leases().free(), header.chunks);
}

TEST_F(MembershipTest, LifeOfASlot) {
    ASSERT_EQ(membership->connect(), 1U);
    EXPECT_EQ(shown(1).state, IVPCI_SLOT_CONNECTED);
    EXPECT_EQ(shown(1).gid, 0U);

    EXPECT_EQ(join(1), IVPCI_ACK_OK);
    EXPECT_EQ(shown(1).state, IVPCI_SLOT_LIVE);
    EXPECT_EQ(shown(1).generation, 1U);
    EXPECT_EQ(shown(1).gid, make_gid(region_hash(uuid), 1, 1));

    EXPECT_EQ(request(1, IVPCI_OP_LEAVE), IVPCI_ACK_OK);
    EXPECT_EQ(shown(1).state, IVPCI_SLOT_CONNECTED);
    EXPECT_EQ(shown(1).gid, 0U);

    EXPECT_EQ(request(1, IVPCI_OP_JOIN), IVPCI_ACK_OK);
    EXPECT_EQ(shown(1).generation, 2U);

    membership->disconnect(1);
    EXPECT_EQ(shown(1).state, IVPCI_SLOT_EMPTY);
    EXPECT_EQ(shown(1).gid, 0U);
}

TEST_F(MembershipTest, JoinAgainIsARebootedGuest) {
    uint32_t slot = connect_and_join();
    uint64_t gid = shown(slot).gid;
    ASSERT_EQ(request(slot, IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    EXPECT_EQ(join(slot), IVPCI_ACK_OK);
    EXPECT_EQ(shown(slot).generation, 2U);
    EXPECT_NE(shown(slot).gid, gid);
    EXPECT_EQ(shown(slot).chunks, 0U);
    EXPECT_EQ(membership->leases().free(), view.layout.chunks) << "nobody claimed: freed at once";
}

// A QEMU that comes and goes without a driver concerns no other guest: somebody who connects in a
// loop must not cost them interrupts.
TEST_F(MembershipTest, EveryChangeOfTheLiveRingsEverybody) {
    uint32_t a = connect_and_join();
    rings.clear();
    uint32_t b = *membership->connect();
    membership->disconnect(b);
    EXPECT_TRUE(rings.empty());
    ASSERT_EQ(membership->connect(), b);
    join(b);
    EXPECT_EQ(rings[a], 1);
    EXPECT_GE(rings[b], 1);
    rings.clear();
    membership->disconnect(b);
    EXPECT_EQ(rings[a], 1);
    EXPECT_EQ(rings.count(b), 0U);
}

// The other's doorbells while a member leaves and joins `times` times.
class Restless : public RegionTest {
protected:
    static constexpr int kAtOnce = 8;

    int rings_for(uint32_t other, uint32_t restless, int times) {
        rings.clear();
        for (int i = 0; i < times; ++i) {
            EXPECT_EQ(request(restless, IVPCI_OP_LEAVE), IVPCI_ACK_OK);
            EXPECT_EQ(request(restless, IVPCI_OP_JOIN), IVPCI_ACK_OK);
        }
        return rings[other];
    }
};

TEST_F(Restless, OthersAreNotRungEachTime) {
    uint32_t a = connect_and_join();
    uint32_t b = connect_and_join();
    int rung = rings_for(a, b, 1000);
    EXPECT_EQ(rung, kAtOnce - 1) << "its joining was the first";
    EXPECT_EQ(rings[b], 2000 + rung) << "who asks is answered every time";
}

TEST_F(Restless, TheLastChangeIsRungForLater) {
    uint32_t a = connect_and_join();
    uint32_t b = connect_and_join();
    rings_for(a, b, 100);
    rings.clear();
    ASSERT_EQ(request(b, IVPCI_OP_LEAVE), IVPCI_ACK_OK);
    EXPECT_EQ(rings.count(a), 0U);
    ASSERT_TRUE(membership->must_ring_later());
    membership->ring_late();
    EXPECT_EQ(rings[a], 1);
    EXPECT_FALSE(membership->must_ring_later());
    membership->ring_late();
    EXPECT_EQ(rings[a], 1) << "once for all of them";
}

TEST_F(Restless, AnothersChangeIsRungForAtOnceAndForAll) {
    uint32_t a = connect_and_join();
    uint32_t b = connect_and_join();
    rings_for(a, b, 100);
    rings.clear();
    connect_and_join();
    EXPECT_EQ(rings[a], 1);
    EXPECT_FALSE(membership->must_ring_later())
        << "who was rung has seen the other's last one, too";
}

TEST_F(Restless, ComingAgainByAConnectionGivesNothingBack) {
    uint32_t a = connect_and_join();
    connect_and_join();
    rings.clear();
    for (int i = 0; i < 100; ++i) {
        membership->disconnect(2);
        ASSERT_EQ(connect_and_join(), 2U);
    }
    EXPECT_EQ(rings[a], kAtOnce - 1);
    EXPECT_TRUE(membership->must_ring_later());
}

TEST_F(Restless, AQuietWhileMakesItAsOthersAre) {
    uint32_t a = connect_and_join();
    uint32_t b = connect_and_join();
    rings_for(a, b, 100);
    now += std::chrono::minutes(1);
    EXPECT_EQ(rings_for(a, b, 2), 4);
}

TEST_F(Restless, TheLogSaysHowManyLinesAreMissing) {
    LogCapture log;
    uint32_t a = connect_and_join();
    uint32_t b = connect_and_join();
    rings_for(a, b, 500);
    EXPECT_EQ(log.lines(), 1 + kAtOnce) << log.text();
    log.clear();
    now += std::chrono::minutes(1);
    ASSERT_EQ(request(b, IVPCI_OP_LEAVE), IVPCI_ACK_OK);
    EXPECT_EQ(log.lines(), 1);
    EXPECT_NE(log.text().find(" unlogged=993\n"), std::string::npos) << log.text();
}

TEST_F(Restless, AComplaintThatTheLogHadNoRoomForIsMadeLater) {
    LogCapture log;
    uint32_t a = connect_and_join();
    uint32_t b = connect_and_join();
    rings_for(a, b, 500);
    log.clear();
    EXPECT_EQ(request(b, 99), IVPCI_ACK_INVALID);
    EXPECT_EQ(log.lines(), 0) << log.text();
    now += std::chrono::minutes(1);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(request(b, 99), IVPCI_ACK_INVALID);
    }
    EXPECT_EQ(log.lines(), 1) << "once is enough: " << log.text();
}

TEST_F(MembershipTest, ALeaseRingsOnlyWhoAsked) {
    uint32_t a = connect_and_join();
    uint32_t b = connect_and_join();
    rings.clear();
    request(a, IVPCI_OP_LEASE, 1);
    EXPECT_EQ(rings[a], 1);
    EXPECT_EQ(rings.count(b), 0U);
}

TEST_F(MembershipTest, WithoutANewSequenceThereIsNoRequest) {
    uint32_t slot = connect_and_join();
    view.ctl(slot).req_op = IVPCI_OP_LEAVE;
    rings.clear();
    membership->serve_requests();
    EXPECT_EQ(shown(slot).state, IVPCI_SLOT_LIVE);
    EXPECT_TRUE(rings.empty());
}

// The driver clears its area, sequence included, before it picks up the broker's.
TEST_F(MembershipTest, AClearedAreaIsNoRequest) {
    uint32_t slot = connect_and_join();
    request(slot, IVPCI_OP_LEASE, 1);
    std::memset(&view.ctl(slot), 0, sizeof(ivpci_ctl));
    uint32_t acked = shown(slot).ack_seq;
    membership->serve_requests();
    EXPECT_EQ(shown(slot).ack_seq, acked);
    EXPECT_EQ(shown(slot).state, IVPCI_SLOT_LIVE);
}

TEST_F(MembershipTest, ARequestLeftBehindIsNotTheNextGuests) {
    uint32_t slot = connect_and_join();
    view.ctl(slot).req_op = IVPCI_OP_JOIN;
    view.ctl(slot).req_seq += 1;  // asked, and died before the broker looked
    membership->disconnect(slot);
    ASSERT_EQ(membership->connect(), slot);
    membership->serve_requests();
    EXPECT_EQ(shown(slot).state, IVPCI_SLOT_CONNECTED);
    EXPECT_EQ(join(slot), IVPCI_ACK_OK);
}

TEST_F(MembershipTest, NothingIsServedInAnEmptySlot) {
    view.ctl(2).version = IVPCI_SHM_VERSION;
    view.ctl(2).vectors = 1;
    view.ctl(2).req_op = IVPCI_OP_JOIN;
    view.ctl(2).req_seq = 1;
    membership->serve_requests();
    EXPECT_EQ(shown(2).state, IVPCI_SLOT_EMPTY);
    EXPECT_EQ(shown(2).ack_seq, 0U);
}

TEST_F(MembershipTest, JoinIsRefusedToAnotherVersion) {
    uint32_t slot = *membership->connect();
    view.ctl(slot).version = IVPCI_SHM_VERSION + 1;
    view.ctl(slot).vectors = 4;
    EXPECT_EQ(request(slot, IVPCI_OP_JOIN), IVPCI_ACK_INVALID);
    EXPECT_EQ(shown(slot).state, IVPCI_SLOT_CONNECTED);
    EXPECT_EQ(shown(slot).generation, 0U);
}

TEST_F(MembershipTest, JoinIsRefusedWithImpossibleVectors) {
    uint32_t slot = *membership->connect();
    view.ctl(slot).version = IVPCI_SHM_VERSION;
    for (uint32_t vectors : {0U, IVPCI_VECTORS_MAX + 1U, ~0U}) {
        view.ctl(slot).vectors = vectors;
        EXPECT_EQ(request(slot, IVPCI_OP_JOIN), IVPCI_ACK_INVALID) << vectors;
    }
}

TEST_F(MembershipTest, OnlyJoinWithoutMembership) {
    uint32_t slot = *membership->connect();
    for (uint32_t op : {IVPCI_OP_LEAVE, IVPCI_OP_LEASE, IVPCI_OP_RETURN}) {
        EXPECT_EQ(request(slot, op, 1), IVPCI_ACK_INVALID) << op;
    }
    EXPECT_EQ(membership->leases().free(), view.layout.chunks);
}

TEST_F(MembershipTest, UnknownOperationsAreRefused) {
    uint32_t slot = connect_and_join();
    for (uint32_t op : {5U, 255U, ~0U}) {
        EXPECT_EQ(request(slot, op), IVPCI_ACK_INVALID) << op;
    }
    EXPECT_EQ(shown(slot).state, IVPCI_SLOT_LIVE);
}

TEST_F(MembershipTest, FullRegion) {
    for (uint32_t s = 1; s <= 4; ++s) {
        EXPECT_EQ(membership->connect(), s);
    }
    EXPECT_EQ(membership->connect(), std::nullopt);
    membership->disconnect(3);
    EXPECT_EQ(membership->connect(), 3U);
}

TEST_F(MembershipTest, GoodbyeAndHeartbeat) {
    membership->heartbeat(Clock::now());
    membership->heartbeat(Clock::now());
    EXPECT_EQ(view.header().broker_heartbeat, 2U);
    membership->goodbye();
    EXPECT_EQ(view.header().broker_pid, 0U);
}

// Guests have the header writable. What they write there must not become what the broker believes.
TEST_F(MembershipTest, AScribbledHeaderChangesNothing) {
    uint32_t a = connect_and_join();
    ASSERT_EQ(request(a, IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
    std::memset(view.header().slot, 0xff, sizeof(ivpci_slot) * 5);
    std::memset(view.leases(), 0, view.layout.chunks * 4);
    uint32_t b = *membership->connect();
    EXPECT_EQ(join(b), IVPCI_ACK_OK);
    EXPECT_EQ(request(b, IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_EQ(view.leases()[2], ivpci_lease(b, 1)) << "0 and 1 are still the other's";
}

TEST(Identity, GidIsNeverZeroAndTheSameInEitherByteOrder) {
    EXPECT_EQ(make_gid(0, 1, 0x10000), 0x0101000000000101U);
    EXPECT_EQ(make_gid(0xffffffffffffffff, 63, 0xabcdef), 0xffc032101032c0ffU);
    for (uint64_t hash : {0x0ULL, 0x00010001ULL << 32, 0x123456789abcdef0ULL, ~0ULL}) {
        for (uint32_t slot = 1; slot < 64; slot++) {
            const uint64_t gid = make_gid(hash, slot, slot);
            EXPECT_NE(gid, 0U);
            EXPECT_EQ(gid, __builtin_bswap64(gid));
        }
    }
}

TEST(Identity, GidsOfARegionDiffer) {
    std::set<uint64_t> seen;
    for (uint32_t slot = 1; slot < 64; slot++) {
        for (uint32_t generation : {1U, 2U, 3U, 0xffffU}) {
            EXPECT_TRUE(seen.insert(make_gid(0x123456789abcdef0, slot, generation)).second);
        }
    }
}

TEST(Identity, FabricIdStaysBelowEmulated) {
    EXPECT_EQ(make_fabric_id(0), 0x0100);
    EXPECT_EQ(make_fabric_id(0xfeff - 0x0100), 0xfeff);
    EXPECT_EQ(make_fabric_id(0xfeff - 0x0100 + 1), 0x0100);
}

}  // namespace
}  // namespace smc_steer::broker
