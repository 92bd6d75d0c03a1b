// SPDX-License-Identifier: Apache-2.0
// The notification ring, compiled for userspace: two threads as two guests, and ends that lie.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "tests/unit/kmod_accessors.h"
//
#include "kmod/ivpci_ring.h"

namespace {

struct Ends {
    std::unique_ptr<ivpci_pair> pair = std::make_unique<ivpci_pair>();
    __u32 tail = 0;
    __u32 overflow_seen = 0;

    bool push(__u32 index) { return ivpci_ring_push(pair.get(), &tail, index); }
    ivpci_ring_view look() { return ivpci_ring_look(pair.get(), &tail, &overflow_seen); }
    void served(const ivpci_ring_view& view) { ivpci_ring_served(&view, &tail, &overflow_seen); }
};

TEST(KmodRing, EmptyIsIdle) {
    Ends ends;
    const auto view = ends.look();
    EXPECT_TRUE(ivpci_ring_idle(&view));
}

TEST(KmodRing, FullRingAsksToServeAll) {
    Ends ends;
    for (__u32 i = 0; i < IVPCI_RING_SIZE; i++) {
        ASSERT_TRUE(ends.push(i));
    }
    EXPECT_FALSE(ends.push(7));
    auto view = ends.look();
    EXPECT_EQ(view.to, IVPCI_RING_SIZE);
    EXPECT_EQ(view.from, view.to);  // all are served anyway
    EXPECT_TRUE(view.serve_all);
    ivpci_ring_limit(&view, 3);  // nothing to leave
    ends.served(view);
    const auto after = ends.look();
    EXPECT_TRUE(ivpci_ring_idle(&after));
}

TEST(KmodRing, LimitLeavesTheRestToTheNextLook) {
    Ends ends;
    for (__u32 i = 0; i < 5; i++) {
        ASSERT_TRUE(ends.push(i));
    }
    auto view = ends.look();
    ivpci_ring_limit(&view, 3);
    EXPECT_EQ(view.to - view.from, 3u);
    ends.served(view);
    EXPECT_EQ(ends.tail, 3u);
    view = ends.look();
    EXPECT_EQ(view.from, 3u);
    ivpci_ring_limit(&view, 3);
    EXPECT_EQ(view.to, 5u);
}

TEST(KmodRing, LyingHeadIsBounded) {
    Ends ends;
    ends.pair->head = 0x80000000u;
    const auto view = ends.look();
    EXPECT_EQ(view.from, view.to);
    EXPECT_TRUE(view.serve_all);
    ends.served(view);
    EXPECT_EQ(ends.tail, 0x80000000u);
}

TEST(KmodRing, LyingTailCostsAnOverflowNotAnOverwrite) {
    Ends ends;
    ends.tail = 5;  // ahead of the head: impossible
    EXPECT_FALSE(ends.push(1));
    EXPECT_EQ(ends.pair->head, 0u);
    EXPECT_EQ(ends.pair->overflow, 1u);
}

TEST(KmodRing, PositionsWrapAround) {
    Ends ends;
    ends.pair->head = ends.tail = 0xfffffffeu;
    for (__u32 i = 0; i < 4; i++) {
        ASSERT_TRUE(ends.push(i));
    }
    const auto view = ends.look();
    EXPECT_EQ(view.to - view.from, 4u);
    EXPECT_FALSE(view.serve_all);
}

// Whatever was pushed before the producer ended is seen: as an entry, or as "serve all" after it.
TEST(KmodRing, NothingPushedIsLost) {
    constexpr __u32 kPushes = 400000;
    Ends ends;
    std::vector<__u32> last_seen(IVPCI_DMBS, 0);
    std::vector<__u32> written(IVPCI_DMBS, 0);  // the "DMB": what a receiver finds when it looks
    bool done = false;

    std::thread producer([&] {
        for (__u32 i = 1; i <= kPushes; i++) {
            const __u32 index = i % 61;
            WRITE_ONCE(written[index], i);
            ends.push(index);
        }
        smp_store_release(&done, true);
    });

    auto serve = [&](__u32 index) { last_seen[index] = READ_ONCE(written[index]); };
    for (;;) {
        const bool last_round = smp_load_acquire(&done);
        auto view = ends.look();
        ivpci_ring_limit(&view, 100);
        for (__u32 i = view.from; i != view.to; i++) {
            const __u32 index = READ_ONCE(ends.pair->index[i % IVPCI_RING_SIZE]);
            ASSERT_LT(index, 61u);
            serve(index);
        }
        ends.served(view);
        if (view.serve_all) {
            for (__u32 index = 0; index < 61; index++) {
                serve(index);
            }
        }
        if (last_round && ivpci_ring_idle(&view)) {
            break;
        }
    }
    producer.join();
    EXPECT_EQ(last_seen, written);
}

}  // namespace
