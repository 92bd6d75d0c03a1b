// SPDX-License-Identifier: Apache-2.0
// "Nobody is inside of TCP who did not come through us": what a round finds out
// (kmod/tcp_ivpci_round.h), with two threads that call, wait, sleep and are woken in all the orders
// that there are. The same, with three and in words: tests/model/clean.pml.
#include <gtest/gtest.h>

#include <array>
#include <compare>
#include <set>
#include <vector>

#include "kmod/tcp_ivpci_round.h"

namespace {

enum class At { kOutside, kWants, kQueued, kOwns, kFaults, kSleeps };

struct Thread {
    At at = At::kOutside;
    bool ours = false;      // in a call that came through us
    bool sleeps = false;    // has its entry in the socket's wait queue
    bool runs = false;      // neither asleep nor outside
    bool holds_up = false;  // the grace period
    auto operator<=>(const Thread&) const = default;
};

struct State {
    std::array<Thread, 2> threads;
    bool owned = false, replaced = false, waiting = false, foreign = false, clean = false;
    auto operator<=>(const State&) const = default;
};

// As the code has them, or with one left out.
struct Rules {
    bool (*foreign)(bool ours, bool strangers_wait) = tcp_ivpci_round_foreign;
    bool (*clean)(bool owned, bool foreign) = tcp_ivpci_round_clean;
    bool woken_are_seen = true;  // by tasks RCU: on_each_cpu()
};

struct Found {
    bool stranger = false;  // has the lock of a clean socket
    bool clean = false;
    std::size_t states = 0;
};

class Explorer {
public:
    explicit Explorer(const Rules& rules) : rules_(rules) {}

    Found explore() {
        later({});
        while (!todo_.empty()) {
            const State state = todo_.back();
            todo_.pop_back();
            ++found_.states;
            found_.clean |= state.clean;
            for (std::size_t i = 0; i < state.threads.size(); ++i) {
                thread(state, i);
            }
            attach(state);
        }
        return found_;
    }

private:
    void later(const State& state) {
        if (seen_.insert(state).second) {
            todo_.push_back(state);
        }
    }

    // To tasks RCU it is the same whether a thread is asleep or outside of the kernel.
    static void rest(Thread& thread, At at) {
        thread.at = at;
        thread.runs = thread.holds_up = false;
    }

    // release_sock()
    void give(State& state, const Thread& by) const {
        bool strangers = false;
        for (const Thread& each : state.threads) {
            strangers |= each.at == At::kQueued && !each.ours;
        }
        state.foreign |= rules_.foreign(by.ours, strangers);
        state.owned = false;
        for (Thread& each : state.threads) {
            if (each.at == At::kQueued) {
                each.at = At::kWants;
                each.runs = rules_.woken_are_seen;
            }
        }
    }

    // Each step that this thread can do.
    void thread(const State& now, std::size_t i) {
        State next = now;
        Thread& thread = next.threads[i];
        switch (thread.at) {
            case At::kOutside:
                thread = {At::kWants, now.replaced, false, true, false};
                later(next);
                break;
            case At::kWants:
                if (now.owned) {
                    rest(thread, At::kQueued);
                } else {
                    next.owned = thread.runs = true;
                    thread.at = At::kOwns;
                    thread.sleeps = false;
                    found_.stranger |= now.clean && !thread.ours;
                }
                later(next);
                break;
            case At::kQueued:
                break;
            case At::kOwns:
                for (At then : {At::kOutside, At::kSleeps, At::kWants}) {
                    next = now;
                    thread.sleeps = then == At::kSleeps;
                    give(next, thread);
                    if (then == At::kWants) {
                        thread.at = then;
                    } else {
                        rest(thread, then);
                    }
                    thread.ours &= then != At::kOutside;
                    later(next);
                }
                next = now;
                rest(thread, At::kFaults);
                later(next);
                break;
            case At::kFaults:
                thread.at = At::kOwns;
                thread.runs = true;
                later(next);
                break;
            case At::kSleeps:
                thread.at = At::kWants;
                thread.runs = true;
                later(next);
                break;
        }
    }

    void attach(const State& now) {
        State next = now;
        if (!now.replaced) {
            if (!now.owned) {
                next.replaced = true;
                later(next);
            }
        } else if (!now.waiting && !now.clean) {
            next.foreign = false;
            next.waiting = true;
            for (Thread& each : next.threads) {
                each.holds_up = each.runs;
            }
            later(next);
        } else if (now.waiting && !now.threads[0].holds_up && !now.threads[1].holds_up) {
            bool sleepers = false;
            for (const Thread& each : now.threads) {
                sleepers |= each.sleeps && !each.ours;
            }
            next.waiting = false;
            next.clean = rules_.clean(now.owned, now.foreign) && !sleepers;
            later(next);
        }
    }

    Rules rules_;
    Found found_;
    std::set<State> seen_;
    std::vector<State> todo_;
};

TEST(KmodClean, NobodyIsInsideWhoDidNotComeThroughUs) {
    const Found found = Explorer({}).explore();
    EXPECT_TRUE(found.clean) << "never clean, in " << found.states << " states";
    EXPECT_FALSE(found.stranger) << "one of before has the lock of a clean socket";
}

// What the explorer is good for: with any of it left out there is an order that shows it.
TEST(KmodClean, EachPartIsNeeded) {
    Rules wakes, releases, owner, woken;
    wakes.foreign = [](bool ours, bool) { return !ours; };
    releases.foreign = [](bool, bool strangers_wait) { return strangers_wait; };
    owner.clean = [](bool, bool foreign) { return !foreign; };
    woken.woken_are_seen = false;
    EXPECT_TRUE(Explorer(wakes).explore().stranger) << "woken by one of ours";
    EXPECT_TRUE(Explorer(releases).explore().stranger) << "took the lock and gave it back";
    EXPECT_TRUE(Explorer(owner).explore().stranger) << "has the lock";
    EXPECT_TRUE(Explorer(woken).explore().stranger) << "woken, not known to its CPU yet";
}

}  // namespace
