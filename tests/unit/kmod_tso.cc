// SPDX-License-Identifier: Apache-2.0
// The driver's barriers, in every order in which two guests' steps and their stores can come
// (tso.h). What threads on a real machine show of it: kmod_order.cc.
#include <gtest/gtest.h>

#include "tests/unit/tso.h"

#define READ_ONCE(x) tso::load(&(x))
#define WRITE_ONCE(x, v) tso::store(&(x), static_cast<std::decay_t<decltype(x)>>(v))
#define smp_store_release(p, v) tso::store((p), static_cast<std::decay_t<decltype(*(p))>>(v))
#define smp_load_acquire(p) tso::load(p)
#define virt_mb() tso::barrier()
//
#include "kmod/ivpci_order.h"
#include "kmod/ivpci_ring.h"
#include "kmod/tcp_ivpci_records.h"

namespace {

using Result = std::pair<bool, bool>;

// What the explorer is good for: stores pass loads, and a barrier on both sides keeps them from it.
struct Litmus {
    int x = 0, y = 0;

    tso::Ends ends(bool one, bool other) {
        auto guest = [](int& mine, int& theirs, bool fenced) {
            WRITE_ONCE(mine, 1);
            if (fenced) {
                virt_mb();
            }
            return READ_ONCE(theirs) != 0;
        };
        return tso::explore([&] { return guest(x, y, one); }, [&] { return guest(y, x, other); });
    }
};

TEST(KmodTso, StoresPassLoads) {
    const Result neither{false, false};
    EXPECT_EQ(Litmus().ends(true, true).results.count(neither), 0u);
    EXPECT_EQ(Litmus().ends(false, true).results.count(neither), 1u);
    EXPECT_EQ(Litmus().ends(true, false).results.count(neither), 1u);
    // The three others can be.
    EXPECT_EQ(Litmus().ends(true, true).results.size(), 3u);
}

// The receiver stops looking while something comes: first whether it saw it, then whether it was
// rung.
TEST(KmodTso, NoDoorbellIsMissing) {
    __u32 looking = 1, tail = 0, overflow_seen = 0;
    ivpci_pair pair{};

    const auto ends = tso::explore(
        [&] {
            ivpci_stop_looking(&looking);
            const auto view = ivpci_ring_look(&pair, &tail, &overflow_seen);
            ivpci_ring_served(&view, &tail, &overflow_seen);
            return !ivpci_ring_idle(&view);
        },
        [&] {
            ivpci_ring_push(&pair, &tail, 7);
            return !ivpci_receiver_looks(&looking);
        });
    EXPECT_EQ(ends.results.count({false, false}), 0u) << "neither rings nor is it seen";
    EXPECT_EQ(ends.results.size(), 3u) << "in " << ends.states << " states";
}

// The same where the ring is full.
TEST(KmodTso, NoDoorbellIsMissingWhereTheRingIsFull) {
    __u32 looking = 1, tail = 0, overflow_seen = 0;
    ivpci_pair pair{};
    pair.head = IVPCI_RING_SIZE;
    const __u32 served = IVPCI_RING_SIZE;  // what the receiver knows; the producer has an old tail

    const auto ends = tso::explore(
        [&] {
            ivpci_stop_looking(&looking);
            const auto view = ivpci_ring_look(&pair, &served, &overflow_seen);
            return !ivpci_ring_idle(&view);
        },
        [&] {
            ivpci_ring_push(&pair, &tail, 7);
            return !ivpci_receiver_looks(&looking);
        });
    EXPECT_EQ(ends.results.count({false, false}), 0u) << "neither rings nor is it seen";
}

// A writer claims a DMB while its owner withdraws it: first whether it is written into, then
// whether it is free.
TEST(KmodTso, NoClaimIsOverlooked) {
    constexpr __u64 kToken = 0x700010003;
    __u32 claim = 0;
    ivpci_dmb_desc desc{};
    desc.token = kToken;

    const auto ends = tso::explore(
        [&] {
            ivpci_claim_set(&claim, ivpci_token_serial(kToken));
            return smp_load_acquire(&desc.token) == kToken;
        },
        [&] {
            ivpci_desc_withdraw(&desc);
            return READ_ONCE(claim) != ivpci_token_serial(kToken);
        });
    EXPECT_EQ(ends.results.count({true, true}), 0u) << "written into and free";
    EXPECT_EQ(ends.results.size(), 3u) << "in " << ends.states << " states";
}

struct Records {
    struct {
        ivpci_records ring;
        char data[64];
    } memory{};
    records_writer writer{};
    records_reader reader{};

    Records() {
        writer.ring = reader.ring = &memory.ring;
        writer.data = memory.data;
        reader.data = memory.data;
        writer.size = reader.size = sizeof(memory.data);
    }
    // A record, after the first 16 bytes. True: the reader is signalled.
    [[nodiscard]] bool publishes_and_signals() const {
        records_writer w = writer;
        records_publish(&w, 4, 0);
        return records_signal(&w);
    }
};

// The reader asks to hear of the next record while that is published: first whether it sees that,
// then whether it is signalled.
TEST(KmodTso, NoRecordGoesUnheard) {
    Records both;
    both.writer.produced = 16;
    both.memory.ring.produced = 16;

    const auto ends = tso::explore(
        [&] {
            records_reader r = both.reader;
            records_watch(&r);
            return READ_ONCE(r.ring->produced) != 16;
        },
        [&] { return both.publishes_and_signals(); });
    EXPECT_EQ(ends.results.count({false, false}), 0u) << "neither signalled nor seen";
}

// The writer asks for room while the reader makes some: first whether it is told, then whether
// the writer sees it.
TEST(KmodTso, NoRoomGoesUnheard) {
    Records both;
    both.memory.ring.produced = 64;

    const auto ends = tso::explore(
        [&] {
            records_reader r = both.reader;
            r.len = 40;
            r.end = 64;
            return static_cast<bool>(records_take(&r, 40));
        },
        [&] {
            records_want_room(&both.memory.ring, 1);
            return READ_ONCE(both.memory.ring.consumed) != 0;
        });
    EXPECT_EQ(ends.results.count({false, false}), 0u) << "neither told nor seen";
}

// The reader closes while a record comes: first whether that is at or before `final`, then whether
// its writer saw that it is closed.
TEST(KmodTso, NoRecordIsLostAtTheEnd) {
    Records both;

    const auto ends = tso::explore(
        [&] {
            records_reader r = both.reader;
            records_close(&r);
            return r.end != 0;
        },
        [&] {
            records_writer w = both.writer;
            records_publish(&w, 4, 0);
            return static_cast<bool>(records_closed(&w));
        });
    EXPECT_EQ(ends.results.count({false, false}), 0u) << "neither read nor repeated";
}

}  // namespace
