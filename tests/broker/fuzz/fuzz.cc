// SPDX-License-Identifier: Apache-2.0
// libFuzzer over what the broker reads of others: the first byte chooses between the configuration,
// the control protocol and guests that write whatever they like. Invariants are checked with
// abort().
#include <ivpci/shm_abi.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "broker/config.h"
#include "broker/control.h"
#include "broker/membership.h"
#include "broker/notices.h"
#include "broker/region.h"

namespace smc_steer::broker {
namespace {

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

// A region of two slots whose memory is made once: clearing it costs more than a run.
struct Arena {
    RegionView view;
    std::unique_ptr<std::byte, Free> memory;
    std::unique_ptr<Ledger, Free> ledger;
    Arena() {
        require(ivpci_layout_init(&view.layout, 8U << 20, 2) == 0);
        memory.reset(static_cast<std::byte*>(std::calloc(1, view.layout.chunk_off)));
        ledger.reset(static_cast<Ledger*>(std::calloc(1, ledger_size(view.layout))));
        view.base = memory.get();
    }
    void clear() {
        std::memset(view.base, 0, view.layout.area_off);
        for (uint32_t s = 1; s <= view.layout.slots; ++s) {
            std::memset(&view.ctl(s), 0, sizeof(ivpci_ctl));
            for (uint32_t o = 1; o <= view.layout.slots; ++o) {
                std::memset(view.claims(s, o), 0, 64 * sizeof(__u32));
            }
        }
        std::memset(static_cast<void*>(ledger.get()), 0, ledger_size(view.layout));
        init_header(view, Uuid{1}, 1);
        init_ledger(*ledger, view.layout, 2, Uuid{1});
    }
};

void check(const Arena& arena, const Membership& membership) {
    require(check_ledger(*arena.ledger, arena.view.layout, 2).has_value());
    uint32_t used = membership.leases().free();
    for (uint32_t s = 1; s <= arena.view.layout.slots; ++s) {
        used += membership.leases().held(s) + membership.leases().condemned(s);
        require(arena.ledger->slot[s].state == IVPCI_SLOT_LIVE || membership.leases().held(s) == 0);
        for (int n = 0; arena.ledger->reachable(s) && n < 3; ++n) {
            if (auto notice = next_notice(*arena.ledger, s)) {
                was_told(*arena.ledger, s, *notice);
            }
        }
    }
    require(used == arena.view.layout.chunks);
}

void members(const uint8_t* data, size_t size) {
    static Arena arena;
    arena.clear();
    auto make = [] {
        return std::make_unique<Membership>(arena.view, *arena.ledger, [](uint32_t) {});
    };
    auto membership = make();
    for (; size >= 6; data += 6, size -= 6) {
        uint32_t slot = 1 + data[1] % 2;
        uint32_t word = 0;
        std::memcpy(&word, data + 2, sizeof(word));
        auto& state = arena.ledger->slot[slot];
        switch (data[0] % 10) {
            case 0:
                membership->connect();
                break;
            case 1:
                if (state.state != IVPCI_SLOT_EMPTY) {
                    membership->disconnect(slot);
                }
                break;
            case 2:
                if (state.state != IVPCI_SLOT_EMPTY) {
                    membership->hold(slot);
                } else if (state.held != 0) {
                    membership->release(slot);
                }
                break;
            case 3:
                membership = make();
                break;
            case 4:
                if (state.state != IVPCI_SLOT_EMPTY) {
                    membership->begin_era();
                    membership->relearn(slot);
                }
                break;
            case 5:
                arena.view.claims(slot, 3 - slot)[data[1] / 4] = word;
                break;
            case 6:  // the header, which guests should not write and can
                reinterpret_cast<__u32*>(arena.view.base)[word % (arena.view.layout.area_off / 4)] =
                    word;
                membership->repair();
                require(membership->repair() == 0);
                break;
            case 7:  // a request that looks right
                arena.view.ctl(slot).version = IVPCI_SHM_VERSION;
                arena.view.ctl(slot).vectors = 2;
                arena.view.ctl(slot).req_op = 1 + word % 4;
                arena.view.ctl(slot).req_arg = word >> 8 & 15;
                arena.view.ctl(slot).req_seq += 1;
                membership->serve_requests();
                break;
            default:
                reinterpret_cast<__u32*>(&arena.view.ctl(slot))[data[1] / 2 % 16] = word;
                membership->serve_requests();
        }
        membership->reclaim();
        check(arena, *membership);
    }
}

}  // namespace
}  // namespace smc_steer::broker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace smc_steer::broker;
    spdlog::set_level(spdlog::level::off);
    if (size == 0) {
        return 0;
    }
    std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
    if (data[0] % 4 == 0) {
        auto none = [](const std::string&) { return std::nullopt; };
        auto parsed = parse_config(text, "f", Names{none, none});
        if (!parsed) {
            require(parsed.error().message.find('\n') == std::string::npos);
        }
    } else if (data[0] % 4 == 1) {
        auto answer = answer_request(text, [] { return std::string("{}\n"); });
        require(!answer || answer->back() == '\n');
        require(answer || text.size() <= kMaxRequest);
    } else {
        members(data + 1, size - 1);
    }
    return 0;
}
