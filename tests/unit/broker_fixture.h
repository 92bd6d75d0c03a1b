// SPDX-License-Identifier: Apache-2.0
// A region in ordinary memory, and the guests' side of it.
#ifndef SMC_STEER_TESTS_UNIT_BROKER_FIXTURE_H
#define SMC_STEER_TESTS_UNIT_BROKER_FIXTURE_H

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "broker/identity.h"
#include "broker/membership.h"
#include "broker/region.h"

namespace smc_steer::broker {

class RegionTest : public ::testing::Test {
protected:
    // Chunks are never touched by the broker: only the bytes below them are backed.
    void make(uint64_t size, uint32_t slots) {
        ASSERT_EQ(ivpci_layout_init(&view.layout, size, slots), 0);
        void* memory = std::aligned_alloc(IVPCI_PAGE, view.layout.chunk_off);
        ASSERT_NE(memory, nullptr);
        std::memset(memory, 0, view.layout.chunk_off);
        memory_.reset(memory);
        view.base = static_cast<std::byte*>(memory);
        init_header(view, uuid, 4711);
        ledger_.reset(static_cast<Ledger*>(std::calloc(1, ledger_size(view.layout))));
        ASSERT_NE(ledger_, nullptr);
        init_ledger(*ledger_, view.layout, 4, uuid);
        restart();
    }

    // A new broker goes on with the same memory.
    void restart() {
        membership = std::make_unique<Membership>(
            view, *ledger_, [this](uint32_t slot) { ++rings[slot]; }, [this] { return now; });
    }
    Ledger& ledger() { return *ledger_; }

    void SetUp() override {
        spdlog::set_level(spdlog::level::off);
        make(32U << 20, 4);
    }

    // What a driver does to ask; returns the broker's answer.
    uint32_t request(uint32_t slot, uint32_t op, uint32_t arg = 0) {
        ivpci_ctl& ctl = view.ctl(slot);
        ctl.req_op = op;
        ctl.req_arg = arg;
        uint32_t seq = ++ctl.req_seq;
        membership->serve_requests();
        EXPECT_EQ(shown(slot).ack_seq, seq);
        return shown(slot).ack_status;
    }

    // What a driver's probe does, as far as the broker can tell.
    uint32_t join(uint32_t slot) {
        ivpci_ctl& ctl = view.ctl(slot);
        ctl.version = IVPCI_SHM_VERSION;
        ctl.vectors = 4;
        ctl.req_seq = shown(slot).ack_seq;
        return request(slot, IVPCI_OP_JOIN);
    }

    uint32_t connect_and_join() {
        uint32_t slot = membership->connect().value_or(0);
        EXPECT_NE(slot, 0U);
        EXPECT_EQ(join(slot), IVPCI_ACK_OK);
        return slot;
    }

    const ivpci_slot& shown(uint32_t slot) { return view.header().slot[slot]; }

    uint32_t leases_shown(uint32_t word) {
        uint32_t n = 0;
        for (uint32_t c = 0; c < view.layout.chunks; ++c) {
            n += view.leases()[c] == word ? 1 : 0;
        }
        return n;
    }

    const Uuid uuid{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    RegionView view;
    std::map<uint32_t, int> rings;
    Clock::time_point now = Clock::now();  // stands still unless a test moves it
    std::unique_ptr<Membership> membership;

private:
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    std::unique_ptr<void, Free> memory_;
    std::unique_ptr<Ledger, Free> ledger_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_TESTS_UNIT_BROKER_FIXTURE_H
