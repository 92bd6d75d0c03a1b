// SPDX-License-Identifier: Apache-2.0
// Whether a receiver looks: two ends that talk by turns, simulated with the driver's own decisions.
// Time is in nanoseconds and nobody's but the simulation's.
#include <gtest/gtest.h>
#include <linux/types.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>

#include "kmod/ivpci_poll.h"

namespace {

constexpr std::uint64_t kUs = 1000;
constexpr std::uint64_t kMost = 200 * kUs;
constexpr std::uint64_t kLook = kUs;         // from a store until who looks has it
constexpr std::uint64_t kProgram = 8 * kUs;  // wakes up, answers

struct End {
    ivpci_poll poll{};
    std::uint64_t worked = 0, until = 0, looked = 0;
    std::uint64_t found = 0, rung = 0;

    End() { ivpci_poll_init(&poll); }

    // A message is in the ring at `at`; returns when it is found. `doorbell`: how long one takes.
    std::uint64_t message(std::uint64_t at, std::uint64_t doorbell) {
        std::uint64_t now = 0;
        if (at < until) {
            now = at + kLook;
            looked += now - worked;
            found++;
            ivpci_poll_found(&poll, now - worked, kMost);
        } else {
            if (until > worked) {
                looked += until - worked;
                ivpci_poll_in_vain(&poll);
            }
            now = at + doorbell;
            rung++;
            ivpci_poll_rung(&poll);
        }
        worked = now;
        until = now + ivpci_poll_window(&poll, kMost);
        return now;
    }

    void rest() {
        poll.resting = IVPCI_POLL_REST_MAX;
        poll.rest = IVPCI_POLL_REST_MAX;
    }

    void count_anew() { found = rung = looked = 0; }
    [[nodiscard]] double share() const {
        return static_cast<double>(found) / static_cast<double>(found + rung);
    }
};

class Talk {
public:
    std::array<End, 2> ends;

    // `stops`: one in so many messages meets an end that its host has taken the CPU from, for five
    // milliseconds.
    void rounds(int count, std::uint64_t doorbell, unsigned stops = 0) {
        for (int i = 0; i < count; i++)
            for (End& end : ends) {
                now_ = end.message(now_, doorbell) + kProgram;
                if (stops != 0 && random_() % stops == 0) now_ += 5000 * kUs;
            }
    }

    double share(int count, std::uint64_t doorbell, unsigned stops = 0) {
        for (End& end : ends) end.count_anew();
        rounds(count, doorbell, stops);
        return std::min(ends[0].share(), ends[1].share());
    }

private:
    std::uint64_t now_ = 10 * kUs;
    std::minstd_rand random_{1};
};

constexpr std::array<std::uint64_t, 8> kDoorbells{20, 60, 100, 130, 199, 250, 400, 700};

TEST(KmodPoll, TwoThatBeginLookWithinAFewMessages) {
    for (const std::uint64_t us : kDoorbells) {
        Talk talk;
        talk.rounds(2, us * kUs);
        EXPECT_EQ(talk.share(1000, us * kUs), 1.0) << "doorbells of " << us << " us";
    }
}

// The slow state is no state to stay in, if an answer that takes one doorbell comes within a
// window.
bool answers_in_a_window(std::uint64_t us) { return us * kUs + kProgram < kMost; }

TEST(KmodPoll, TwoThatLiveByDoorbellsFindBack) {
    for (const std::uint64_t us : kDoorbells) {
        if (!answers_in_a_window(us)) continue;
        Talk both;
        for (End& end : both.ends) end.rest();
        both.rounds(IVPCI_POLL_REST_MAX + 100, us * kUs);
        EXPECT_EQ(both.share(1000, us * kUs), 1.0) << "both rested, doorbells of " << us << " us";
        Talk one;
        one.ends[1].rest();
        one.rounds(IVPCI_POLL_REST_MAX + 100, us * kUs);
        EXPECT_EQ(one.share(1000, us * kUs), 1.0) << "one rested, doorbells of " << us << " us";
    }
}

// Slower ones meet in a try if they began to rest at about the same time, and so do those of two
// that talk by turns.
TEST(KmodPoll, SlowDoorbellsMeetInATry) {
    for (const std::uint64_t us : {250, 400, 700}) {
        Talk talk;
        for (End& end : talk.ends) end.rest();
        talk.ends[1].poll.resting -= 3;
        talk.rounds(IVPCI_POLL_REST_MAX + 100, us * kUs);
        EXPECT_EQ(talk.share(1000, us * kUs), 1.0) << "doorbells of " << us << " us";
    }
}

TEST(KmodPoll, ABusyHostEndsItForShort) {
    for (const std::uint64_t us : kDoorbells) {
        Talk talk;
        const double share = talk.share(200000, us * kUs, 30);
        EXPECT_GT(share, answers_in_a_window(us) ? 0.9 : 0.3) << "doorbells of " << us << " us";
    }
}

// What it costs where it does not pay, for each message: of a CPU that would be idle.
TEST(KmodPoll, WhatComesTooSeldomCostsLittle) {
    for (const std::uint64_t apart : {300, 500, 1000, 10000}) {
        End end;
        std::uint64_t now = 0;
        for (int i = 0; i < 100000; i++)
            now = std::max(end.message(now, 50 * kUs), now + apart * kUs);
        EXPECT_LT(end.looked / 100000, 15 * kUs) << "messages " << apart << " us apart";
        EXPECT_LT(end.share(), 0.03) << "messages " << apart << " us apart";
    }
}

TEST(KmodPoll, NotAllowedItNeverLooks) {
    ivpci_poll poll{};
    ivpci_poll_init(&poll);
    EXPECT_EQ(ivpci_poll_window(&poll, 0), 0U);
}

}  // namespace
