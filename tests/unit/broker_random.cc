// SPDX-License-Identifier: Apache-2.0
// Random operations on hostile memory. Invariants, checked after each: a chunk has one holder; what
// is free, held and condemned adds up; a condemned chunk is not freed while a claim that was there
// at its condemnation is; states and generations follow the operations.
#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <vector>

#include "tests/unit/broker_fixture.h"

namespace smc_steer::broker {
namespace {

class RandomTest : public RegionTest, public ::testing::WithParamInterface<unsigned> {
protected:
    uint32_t any(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

    uint32_t any_word() {
        static constexpr uint32_t kEdges[] = {0, 1, 2, 255, 4095, 65535, 1U << 24, ~0U};
        return any(2) != 0 ? kEdges[any(8)] : static_cast<uint32_t>(random_());
    }

    void scribble_area(uint32_t slot) {
        auto* words = reinterpret_cast<uint32_t*>(view.base + ivpci_area(&view.layout, slot));
        for (int i = 0; i < 64; ++i) {
            words[any(sizeof(ivpci_ctl) / 4)] = any_word();
        }
    }

    std::mt19937 random_{GetParam()};
};

// The model keeps leases by watching what the header shows: a chunk goes free -> (slot, generation)
// -> free or condemned -> free, and never from one holder to another.
TEST_P(RandomTest, EveryChunkHasOneHolderAndIsFreedOnce) {
    std::set<uint32_t> connected;
    std::vector<uint32_t> before(view.layout.chunks, 0);
    // by owner slot: claim words (writer, index, serial) that hold its condemned chunks
    struct Hold {
        uint32_t writer, generation, index, serial;
    };
    std::map<uint32_t, std::vector<Hold>> holds;
    auto live = [&](uint32_t s) { return shown(s).state == IVPCI_SLOT_LIVE; };
    auto claims_on = [&](uint32_t owner) {
        std::vector<Hold> found;
        for (uint32_t w = 1; w <= 4; ++w) {
            for (uint32_t i = 0; w != owner && live(w) && i < 8; ++i) {
                if (uint32_t serial = view.claims(w, owner)[i]; serial != 0) {
                    found.push_back({w, shown(w).generation, i, serial});
                }
            }
        }
        return found;
    };

    int steps_with_condemned = 0;
    for (int step = 0; step < 4000; ++step) {
        uint32_t slot = 1 + any(4);
        uint32_t was_generation = shown(slot).generation;
        bool was_live = live(slot);
        bool held = shown(slot).chunks != 0;
        auto claims_before = claims_on(slot);
        switch (any(8)) {
            case 0:
                if (auto got = membership->connect()) {
                    EXPECT_TRUE(connected.insert(*got).second);
                    EXPECT_EQ(shown(*got).state, IVPCI_SLOT_CONNECTED);
                } else {
                    EXPECT_EQ(connected.size(), 4U);
                }
                break;
            case 1:
                if (connected.erase(slot) != 0) {
                    membership->disconnect(slot);
                    EXPECT_EQ(shown(slot).state, IVPCI_SLOT_EMPTY);
                }
                break;
            case 2:
                if (connected.count(slot) != 0) {
                    EXPECT_EQ(join(slot), IVPCI_ACK_OK);
                    EXPECT_EQ(shown(slot).generation, was_generation + 1);
                    EXPECT_EQ(shown(slot).gid,
                              make_gid(region_hash(uuid), slot, was_generation + 1));
                }
                break;
            case 3:
            case 4:
                if (was_live) {
                    uint32_t had = membership->leases().free();
                    uint32_t wanted = 1 + any(6);
                    uint32_t answer = request(slot, IVPCI_OP_LEASE, wanted);
                    EXPECT_EQ(answer, had != 0 ? IVPCI_ACK_OK : IVPCI_ACK_FULL);
                    EXPECT_EQ(membership->leases().free(), had - std::min(had, wanted));
                }
                break;
            case 5:
                if (connected.count(slot) != 0) {
                    uint32_t chunk = any(2) != 0 ? any(view.layout.chunks) : any_word();
                    bool mine = was_live && chunk < view.layout.chunks &&
                                before[chunk] == ivpci_lease(slot, was_generation);
                    EXPECT_EQ(request(slot, IVPCI_OP_RETURN, chunk),
                              mine ? IVPCI_ACK_OK : IVPCI_ACK_INVALID);
                }
                break;
            case 6:
                view.claims(slot, 1 + any(4))[any(8)] = any(3) != 0 ? 0 : 1 + any(3);
                break;
            default:
                // Whatever a guest writes into its control page, JOIN or LEAVE among it: no crash,
                // and no member but itself is touched.
                if (connected.count(slot) != 0) {
                    std::array<ivpci_slot, 5> others{};
                    std::copy_n(view.header().slot, 5, others.begin());
                    scribble_area(slot);
                    membership->serve_requests();
                    for (uint32_t s = 1; s <= 4; ++s) {
                        if (s != slot) {
                            EXPECT_EQ(std::memcmp(&others[s], &shown(s), sizeof(ivpci_slot)), 0);
                        }
                    }
                    view.ctl(slot).req_seq = shown(slot).ack_seq;
                }
                break;
        }
        if (held && !(live(slot) && shown(slot).generation == was_generation)) {
            holds[slot] = claims_before;  // its chunks were condemned in this step
        }
        for (auto& [owner, list] : holds) {
            std::erase_if(list, [&, o = owner](const Hold& h) {
                return !live(h.writer) || shown(h.writer).generation != h.generation ||
                       view.claims(h.writer, o)[h.index] != h.serial;
            });
        }
        membership->reclaim();

        uint32_t free = 0;
        for (uint32_t c = 0; c < view.layout.chunks; ++c) {
            uint32_t now = view.leases()[c];
            uint32_t holder = now & 0xff;
            uint32_t generation = now >> 8;
            free += now == 0 ? 1 : 0;
            ASSERT_LE(holder, 4U);
            if (now != 0 && generation != 0) {
                ASSERT_TRUE(live(holder)) << "step " << step << " chunk " << c;
                ASSERT_EQ(generation, shown(holder).generation) << "step " << step;
            }
            if (before[c] != 0 && now != before[c]) {
                // Released or condemned; straight to another holder only by way of free.
                ASSERT_TRUE(now == 0 || now == ivpci_lease(before[c] & 0xff, 0))
                    << "step " << step << " chunk " << c << " " << before[c] << " -> " << now;
            }
            if (before[c] != 0 && before[c] >> 8 == 0 && now == 0) {
                ASSERT_TRUE(holds[before[c]].empty())
                    << "step " << step << ": chunk " << c << " freed while claimed";
            }
            before[c] = now;
        }
        ASSERT_EQ(free, membership->leases().free());
        uint32_t condemned = 0;
        for (uint32_t s = 1; s <= 4; ++s) {
            ASSERT_EQ(shown(s).chunks, live(s) ? membership->leases().held(s) : 0U);
            condemned += membership->leases().condemned(s);
        }
        ASSERT_EQ(condemned != 0, membership->reclaim_pending());
        steps_with_condemned += condemned != 0 ? 1 : 0;
    }

    EXPECT_GT(steps_with_condemned, 200) << "the walk did not reach what it is for";

    // Everybody leaves: nothing may be lost.
    for (uint32_t s : connected) {
        membership->disconnect(s);
    }
    EXPECT_FALSE(membership->reclaim());
    EXPECT_EQ(membership->leases().free(), view.layout.chunks);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTest, ::testing::Range(1U, 25U));

}  // namespace
}  // namespace smc_steer::broker
