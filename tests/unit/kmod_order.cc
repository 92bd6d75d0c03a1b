// SPDX-License-Identifier: Apache-2.0
// The driver's barriers on this machine: two threads, as two guests, do their halves of one thing
// at the same moment, again and again. That neither sees the other may not happen once. Without a
// barrier it does where both have a CPU to themselves; kmod_tso.cc needs no such luck.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/unit/kmod_accessors.h"
//
#include "kmod/ivpci_order.h"
#include "kmod/ivpci_ring.h"

namespace {

constexpr unsigned kRounds = 50000;
constexpr auto kLongest = std::chrono::seconds(2);
constexpr unsigned kAtOnce = 64;  // in a round, one after the other

// Where two threads meet. Who comes last goes on first, so each waits a little, a different time
// each round.
class Meeting {
public:
    void meet(unsigned number) {
        arrived_.fetch_add(1);
        for (unsigned spins = 0; arrived_.load() < 2 * number; spins++) {
            if (spins > 10000) {
                std::this_thread::yield();
            }
        }
    }
    static void wait(unsigned steps) {
        for (unsigned i = 0; i < steps; i++) {
            asm volatile("" ::: "memory");
        }
    }

private:
    alignas(64) std::atomic<unsigned> arrived_{0};
};

struct Count {
    unsigned rounds = 0, missed = 0;
};

// Of a Game: prepare(), then one() and other() at once, then missed(), whether neither saw the
// other. In every second round both threads touch() before what is written then: a store takes its
// time where another CPU has a copy.
template <typename Game>
Count play() {
    std::vector<Game> games(kAtOnce);
    Meeting meeting;
    std::atomic<bool> enough{false};
    Count count;
    auto touch = [&](unsigned round) {
        for (unsigned i = 0; round % 2 && i < kAtOnce; i++) {
            games[i].touch();
        }
    };

    std::thread thread([&] {
        for (unsigned round = 0;; round++) {
            meeting.meet(2 * round + 1);
            if (enough) {
                return;
            }
            touch(round);
            Meeting::wait(round * 7 % 61);
            for (auto& game : games) {
                game.other();
            }
            meeting.meet(2 * round + 2);
        }
    });
    const auto end = std::chrono::steady_clock::now() + kLongest;
    for (;; count.rounds++) {
        for (auto& game : games) {
            game.prepare();
        }
        enough = count.rounds == kRounds || std::chrono::steady_clock::now() > end;
        meeting.meet(2 * count.rounds + 1);
        if (enough) {
            break;
        }
        touch(count.rounds);
        Meeting::wait(count.rounds * 11 % 61);
        for (auto& game : games) {
            game.one();
        }
        meeting.meet(2 * count.rounds + 2);
        for (auto& game : games) {
            count.missed += game.missed();
        }
    }
    thread.join();
    return count;
}

// The receiver stops looking while something comes.
struct Doorbell {
    alignas(64) __u32 looking = 0;
    alignas(64) __u32 tail = 0;
    __u32 overflow_seen = 0;
    alignas(64) ivpci_pair pair{};
    alignas(64) bool seen = false;
    alignas(64) bool rang = false;

    bool look() {
        const auto view = ivpci_ring_look(&pair, &tail, &overflow_seen);
        ivpci_ring_served(&view, &tail, &overflow_seen);
        return !ivpci_ring_idle(&view);
    }
    void prepare() {
        look();
        WRITE_ONCE(looking, 1);
    }
    void touch() const {
        static_cast<void>(READ_ONCE(looking));
        static_cast<void>(READ_ONCE(pair.head));
    }
    void one() {
        ivpci_stop_looking(&looking);
        seen = look();
    }
    void other() {
        ivpci_ring_push(&pair, &tail, 7);
        rang = !ivpci_receiver_looks(&looking);
    }
    bool missed() const { return !rang && !seen; }
};

// A writer claims a DMB while its owner withdraws it.
struct Dmb {
    static constexpr __u64 kToken = 0x700010003;

    alignas(64) __u32 claim = 0;
    alignas(64) ivpci_dmb_desc desc{};
    alignas(64) bool used = false;
    alignas(64) bool freed = false;

    void prepare() {
        WRITE_ONCE(claim, 0);
        WRITE_ONCE(desc.token, kToken);
    }
    void touch() const {
        static_cast<void>(READ_ONCE(claim));
        static_cast<void>(READ_ONCE(desc.token));
    }
    void one() {
        ivpci_claim_set(&claim, ivpci_token_serial(kToken));
        used = smp_load_acquire(&desc.token) == kToken;
    }
    void other() {
        ivpci_desc_withdraw(&desc);
        freed = READ_ONCE(claim) != ivpci_token_serial(kToken);
    }
    bool missed() const { return used && freed; }
};

TEST(KmodOrder, NoDoorbellIsMissing) {
    const auto count = play<Doorbell>();
    EXPECT_GT(count.rounds, 0u);
    EXPECT_EQ(count.missed, 0u) << "neither rang nor seen, in " << count.rounds << " rounds";
}

TEST(KmodOrder, NoClaimIsOverlooked) {
    const auto count = play<Dmb>();
    EXPECT_GT(count.rounds, 0u);
    EXPECT_EQ(count.missed, 0u) << "written into and free, in " << count.rounds << " rounds";
}

}  // namespace
