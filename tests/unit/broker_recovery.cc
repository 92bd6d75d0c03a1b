// SPDX-License-Identifier: Apache-2.0
// A successor makes the same membership of the ledger, whatever moment the former broker was killed
// at and whatever was scribbled into the header.
#include "broker/notices.h"
#include "tests/unit/broker_fixture.h"

namespace smc_steer::broker {
namespace {

using Recovery = RegionTest;

TEST_F(Recovery, MembersAndLeasesAreTheSame) {
    uint32_t a = connect_and_join();
    uint32_t b = *membership->connect();
    ASSERT_EQ(request(a, IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    ivpci_slot before = shown(a);
    restart();
    EXPECT_EQ(std::memcmp(&before, &shown(a), offsetof(ivpci_slot, ack_status)), 0);
    EXPECT_EQ(shown(a).chunks, 3U);
    EXPECT_EQ(shown(b).state, IVPCI_SLOT_CONNECTED);
    EXPECT_EQ(leases_shown(ivpci_lease(a, 1)), 3U);
    EXPECT_EQ(request(a, IVPCI_OP_RETURN, 0), IVPCI_ACK_OK);
    EXPECT_EQ(join(b), IVPCI_ACK_OK);
    EXPECT_EQ(membership->connect(), 3U);
}

TEST_F(Recovery, AScribbledHeaderIsMadeAgain) {
    uint32_t a = connect_and_join();
    ASSERT_EQ(request(a, IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
    uint64_t gid = shown(a).gid;
    std::memset(view.header().slot, 0xff, sizeof(ivpci_slot) * 5);
    std::memset(view.leases(), 0x55, size_t{view.layout.chunks} * 4);
    restart();
    EXPECT_EQ(shown(a).gid, gid);
    EXPECT_EQ(shown(a).state, IVPCI_SLOT_LIVE);
    EXPECT_EQ(shown(2).state, IVPCI_SLOT_EMPTY);
    EXPECT_EQ(leases_shown(ivpci_lease(a, 1)), 2U);
    EXPECT_EQ(leases_shown(0), view.layout.chunks - 2);
}

TEST_F(Recovery, CondemnedChunksAreFreedOnceByTheSuccessor) {
    uint32_t owner = connect_and_join();
    uint32_t writer = connect_and_join();
    ASSERT_EQ(request(owner, IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    view.claims(writer, owner)[7] = 1;
    membership->disconnect(owner);
    ASSERT_TRUE(membership->reclaim_pending());
    restart();
    EXPECT_TRUE(membership->reclaim_pending());
    EXPECT_TRUE(membership->reclaim());
    EXPECT_EQ(leases_shown(ivpci_lease(owner, 0)), 3U);
    view.claims(writer, owner)[7] = 0;
    EXPECT_FALSE(membership->reclaim());
    EXPECT_EQ(membership->counts().chunks_freed, 3U);
    EXPECT_EQ(membership->leases().free(), view.layout.chunks);
    restart();
    EXPECT_EQ(membership->counts().chunks_freed, 0U);
}

// Killed after "the slot is EMPTY" and before, or in the middle of, "its leases are condemned", and
// in the middle of freeing them.
TEST_F(Recovery, AHalfEndedGenerationIsEnded) {
    for (uint32_t condemned : {0U, 1U, 3U}) {
        uint32_t owner = connect_and_join();
        uint32_t writer = connect_and_join();
        ASSERT_EQ(request(owner, IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
        view.claims(writer, owner)[7] = 1;
        ledger().slot[owner].state = IVPCI_SLOT_EMPTY;
        for (uint32_t c = 0; c < condemned; ++c) {
            ledger().chunk[c] |= kCondemned;
        }
        restart();
        EXPECT_EQ(shown(owner).state, IVPCI_SLOT_EMPTY);
        EXPECT_EQ(leases_shown(ivpci_lease(owner, 0)), 3U) << condemned;
        ledger().chunk[1] = 0;  // one was freed when it was killed again
        view.claims(writer, owner)[7] = 0;
        restart();
        EXPECT_EQ(membership->leases().free(), view.layout.chunks);
        EXPECT_FALSE(membership->reclaim_pending());
        membership->disconnect(writer);
    }
}

TEST_F(Recovery, AnUnansweredRequestIsAnsweredByTheSuccessor) {
    uint32_t a = connect_and_join();
    view.ctl(a).req_op = IVPCI_OP_LEASE;
    view.ctl(a).req_arg = 2;
    view.ctl(a).req_seq += 1;
    restart();
    membership->serve_requests();
    EXPECT_EQ(shown(a).chunks, 2U);
    EXPECT_EQ(shown(a).ack_seq, view.ctl(a).req_seq);
}

TEST_F(Recovery, GenerationsGoOn) {
    uint32_t a = connect_and_join();
    membership->disconnect(a);
    restart();
    ASSERT_EQ(membership->connect(), a);
    join(a);
    EXPECT_EQ(shown(a).generation, 2U) << "a GID must not come twice";
}

TEST_F(Recovery, AHeldSlotKeepsItsMemoryAndItsClaims) {
    uint32_t owner = connect_and_join();
    uint32_t writer = connect_and_join();
    ASSERT_EQ(request(owner, IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    ASSERT_EQ(request(writer, IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
    view.claims(writer, owner)[0] = 5;
    membership->hold(writer);
    membership->disconnect(owner);
    EXPECT_EQ(shown(writer).state, IVPCI_SLOT_EMPTY);
    EXPECT_EQ(membership->leases().free(), view.layout.chunks - 5) << "it may still write there";
    for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(membership->reclaim());
        EXPECT_EQ(membership->leases().free(), view.layout.chunks - 5);
        restart();
    }
    EXPECT_EQ(membership->connect(), 3U);
    EXPECT_EQ(membership->connect(), 4U);
    EXPECT_EQ(membership->connect(), owner);
    EXPECT_EQ(membership->connect(), std::nullopt) << "the held one is nobody's";
    membership->release(writer);
    EXPECT_FALSE(membership->reclaim_pending());
    EXPECT_EQ(membership->leases().free(), view.layout.chunks);
    EXPECT_EQ(membership->connect(), writer);
}

TEST_F(Recovery, MembersOfDifferentErasAreLiveTogetherAndToldApart) {
    uint32_t old_a = connect_and_join();
    uint32_t old_b = connect_and_join();
    EXPECT_EQ(shown(old_a).era, 0U);
    restart();
    EXPECT_EQ(view.header().era, 0U) << "a successor with the connections begins no era";
    membership->begin_era();
    membership->relearn(old_a);
    membership->relearn(old_b);
    EXPECT_TRUE(membership->has_relearned());
    uint32_t fresh = connect_and_join();
    EXPECT_EQ(shown(fresh).era, 1U);
    EXPECT_EQ(join(old_a), IVPCI_ACK_OK) << "a reboot";
    EXPECT_EQ(shown(old_a).era, 0U);
    EXPECT_EQ(shown(old_b).state, IVPCI_SLOT_LIVE);
    // And once more: three eras, the header made again from the ledger.
    view.header().era = 77;
    std::memset(view.header().slot, 0xff, sizeof(ivpci_slot) * 5);
    restart();
    membership->begin_era();
    membership->relearn(fresh);
    EXPECT_EQ(view.header().era, 2U);
    EXPECT_EQ(shown(old_b).era, 0U);
    EXPECT_EQ(shown(fresh).era, 1U);
    membership->disconnect(old_a);
    EXPECT_EQ(shown(connect_and_join()).era, 2U) << "the slot's new QEMU is of this era";
    membership->disconnect(old_b);
    membership->disconnect(fresh);
    EXPECT_FALSE(membership->has_relearned());
}

TEST_F(Recovery, SilentRelearnedMembersAreFoundOthersNever) {
    using namespace std::chrono_literals;
    uint32_t old_a = connect_and_join();
    uint32_t old_b = connect_and_join();
    restart();
    membership->relearn(old_a);
    auto t = Clock::now() + 1h;
    membership->heartbeat(t);
    for (int s = 1; s <= 12; ++s) {
        view.ctl(old_b).heartbeat += s < 2 ? 1 : 0;
        membership->heartbeat(t + s * 1s);
        EXPECT_EQ(membership->silent(t + s * 1s).size(), s >= 10 ? 1U : 0U) << s;
    }
    EXPECT_EQ(membership->silent(t + 12s), std::vector<uint32_t>{old_a});
    EXPECT_EQ(*membership->silence(old_b, t + 12s), 11s);
    view.ctl(old_a).heartbeat += 1;
    membership->heartbeat(t + 13s);
    EXPECT_TRUE(membership->silent(t + 13s).empty());
}

TEST_F(Recovery, ALedgerOfAnotherRegionIsRefused) {
    EXPECT_TRUE(check_ledger(ledger(), view.layout, 4));
    EXPECT_FALSE(check_ledger(ledger(), view.layout, 5));
    ivpci_layout other{};
    ASSERT_EQ(ivpci_layout_init(&other, 64U << 20, 4), 0);
    EXPECT_FALSE(check_ledger(ledger(), other, 4));
    ledger().chunk[0] = 5;
    EXPECT_FALSE(check_ledger(ledger(), view.layout, 4));
    ledger().chunk[0] = 0;
    ledger().slot[1].state = 3;
    EXPECT_FALSE(check_ledger(ledger(), view.layout, 4));
}

// What QEMU would believe of its peers: vectors by peer.
class Listening {
public:
    void hear(const Notice& notice, uint32_t self) {
        if (++heard_ <= 3) {
            return;
        }
        // Never that somebody is gone: QEMU writes into freed memory when it hears of him again.
        EXPECT_NE(notice.carries, Notice::Carries::kNothing);
        EXPECT_EQ(vectors[notice.peer]++, notice.vector) << "in order, peer " << notice.peer;
        EXPECT_TRUE(notice.peer != self || vectors.count(0) == 1);
    }
    std::map<uint32_t, uint32_t> vectors;

private:
    int heard_ = 0;
};

TEST_F(Recovery, NoticesGoOnInMidSentence) {
    std::map<uint32_t, Listening> ears;
    uint32_t state = 1;
    auto any = [&](uint32_t n) { return (state = state * 1103515245 + 12345) / 65536 % n; };
    for (int step = 0; step < 5000; ++step) {
        uint32_t slot = 1 + any(4);
        switch (any(4)) {
            case 0:
                if (auto got = membership->connect()) {
                    ears[*got] = Listening();
                }
                break;
            case 1:
                if (ears.erase(slot) != 0) {
                    membership->disconnect(slot);
                }
                break;
            case 2:
                restart();
                break;
            default:
                for (uint32_t n = any(9); n > 0 && ears.count(slot) != 0; --n) {
                    auto notice = next_notice(ledger(), slot);
                    if (!notice) {
                        break;
                    }
                    ears[slot].hear(*notice, slot);
                    was_told(ledger(), slot, *notice);
                }
        }
    }
    for (auto& [slot, ear] : ears) {
        while (auto notice = next_notice(ledger(), slot)) {
            ear.hear(*notice, slot);
            was_told(ledger(), slot, *notice);
        }
        for (const auto& [peer, other] : ears) {
            EXPECT_EQ(ear.vectors.count(peer), 1U) << slot << " does not know " << peer;
        }
        for (auto [peer, vectors] : ear.vectors) {
            // of a slot that is empty now, perhaps not all were told
            EXPECT_TRUE(vectors == (peer == 0 ? 1U : 4U) || ears.count(peer) == 0);
        }
    }
}

}  // namespace
}  // namespace smc_steer::broker
