// SPDX-License-Identifier: Apache-2.0
#include "broker/membership.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "broker/identity.h"

namespace smc_steer::broker {
namespace {

constexpr uint32_t kGenerationMask = 0xffffff;  // ivpci_lease() has room for 24 bits

}  // namespace

Membership::Membership(const RegionView& view, uint64_t region_hash, Ring ring)
    : view_(view),
      hash_(region_hash),
      ring_(std::move(ring)),
      leases_(view.leases(), view.layout.chunks),
      slots_(view.layout.slots + 1) {}

uint32_t Membership::live_generation(uint32_t slot) const {
    return slots_[slot].state == IVPCI_SLOT_LIVE ? slots_[slot].generation : 0;
}

std::optional<uint32_t> Membership::connect() {
    std::optional<uint32_t> best;
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        if (slots_[s].state != IVPCI_SLOT_EMPTY) {
            continue;
        }
        if (!slots_[s].reclaiming) {
            best = s;
            break;
        }
        best = best.value_or(s);
    }
    if (!best) {
        return std::nullopt;
    }

    Slot& slot = slots_[*best];
    slot.complained = false;
    acknowledge(*best, load_relaxed(view_.ctl(*best).req_seq), IVPCI_ACK_INVALID);
    slot.state = IVPCI_SLOT_CONNECTED;
    store_release(view_.header().slot[*best].state, __u32{IVPCI_SLOT_CONNECTED});
    ring_all();
    return best;
}

void Membership::disconnect(uint32_t slot) {
    end_generation(slot, IVPCI_SLOT_EMPTY);
    ring_all();
}

// What readers must not see any more goes first: they take the GID only from a LIVE slot.
void Membership::end_generation(uint32_t slot, ivpci_slot_state state) {
    ivpci_slot& shown = view_.header().slot[slot];
    slots_[slot].state = state;
    store_release(shown.state, __u32{state});
    store_release(shown.gid, __u64{0});
    store_relaxed(shown.chunks, 0U);
    if (leases_.condemn(slot) != 0) {
        slots_[slot].watch.start(view_, slot, [this](uint32_t s) { return live_generation(s); });
        condemned_slots_ += slots_[slot].reclaiming ? 0 : 1;
        slots_[slot].reclaiming = true;
    }
    // Claims of the slot as a writer end with its generation: others may be free now, too.
    reclaim();
}

bool Membership::reclaim() {
    for (uint32_t s = 1; s < slots_.size() && condemned_slots_ != 0; ++s) {
        Slot& slot = slots_[s];
        if (!slot.reclaiming ||
            !slot.watch.resolved(view_, [this](uint32_t w) { return live_generation(w); })) {
            continue;
        }
        slot.reclaiming = false;
        --condemned_slots_;
        uint32_t freed = leases_.free_condemned(s);
        spdlog::debug("slot {}: {} chunks of former generations are free again", s, freed);
    }
    return condemned_slots_ != 0;
}

void Membership::serve_requests() {
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        if (slots_[s].state != IVPCI_SLOT_EMPTY && serve_request(s)) {
            ring_(s);
        }
    }
}

bool Membership::serve_request(uint32_t slot) {
    ivpci_ctl& ctl = view_.ctl(slot);
    uint32_t seq = load_acquire(ctl.req_seq);
    if (seq == slots_[slot].ack_seq) {
        return false;
    }
    uint32_t op = load_relaxed(ctl.req_op);
    uint32_t arg = load_relaxed(ctl.req_arg);
    if (op == IVPCI_OP_NONE) {
        return false;  // a driver that is just clearing its area
    }
    acknowledge(slot, seq, answer(slot, op, arg));
    return true;
}

void Membership::acknowledge(uint32_t slot, uint32_t seq, ivpci_ack status) {
    ivpci_slot& shown = view_.header().slot[slot];
    slots_[slot].ack_seq = seq;
    store_relaxed(shown.ack_status, __u32{status});
    store_release(shown.ack_seq, __u32{seq});
}

ivpci_ack Membership::answer(uint32_t slot, uint32_t op, uint32_t arg) {
    if (op == IVPCI_OP_JOIN) {
        return join(slot);
    }
    if (slots_[slot].state != IVPCI_SLOT_LIVE) {
        return refuse(slot, op, arg, "it has not joined");
    }
    switch (op) {
        case IVPCI_OP_LEAVE:
            end_generation(slot, IVPCI_SLOT_CONNECTED);
            spdlog::info("slot {}: left (generation {})", slot, slots_[slot].generation);
            ring_all();
            return IVPCI_ACK_OK;
        case IVPCI_OP_LEASE: {
            if (arg == 0) {
                return refuse(slot, op, arg, "no chunks asked for");
            }
            uint32_t taken = leases_.take(slot, slots_[slot].generation, arg);
            show_chunks(slot);
            return taken != 0 ? IVPCI_ACK_OK : IVPCI_ACK_FULL;
        }
        case IVPCI_OP_RETURN:
            if (!leases_.give_back(slot, arg)) {
                return refuse(slot, op, arg, "it does not hold that chunk");
            }
            show_chunks(slot);
            return IVPCI_ACK_OK;
        default:
            return refuse(slot, op, arg, "no such operation");
    }
}

ivpci_ack Membership::join(uint32_t slot) {
    ivpci_ctl& ctl = view_.ctl(slot);
    uint32_t version = load_relaxed(ctl.version);
    uint32_t vectors = load_relaxed(ctl.vectors);
    if (version != IVPCI_SHM_VERSION) {
        return refuse(slot, IVPCI_OP_JOIN, version, "its driver speaks another version");
    }
    if (vectors < 1 || vectors > IVPCI_VECTORS_MAX) {
        return refuse(slot, IVPCI_OP_JOIN, vectors, "impossible number of vectors");
    }
    if (slots_[slot].state == IVPCI_SLOT_LIVE) {
        end_generation(slot, IVPCI_SLOT_CONNECTED);
    }

    Slot& s = slots_[slot];
    s.generation = (s.generation + 1) & kGenerationMask;
    if (s.generation == 0) {
        s.generation = 1;
    }
    s.state = IVPCI_SLOT_LIVE;
    ivpci_slot& shown = view_.header().slot[slot];
    uint64_t gid = make_gid(hash_, slot, s.generation);
    store_relaxed(shown.gid, __u64{gid});
    store_relaxed(shown.generation, __u32{s.generation});
    store_relaxed(shown.chunks, 0U);
    store_release(shown.state, __u32{IVPCI_SLOT_LIVE});
    spdlog::info("slot {}: joined (generation {}, GID {:#018x}, epoch {:#x}, {} vectors)", slot,
                 s.generation, gid, load_relaxed(ctl.epoch), vectors);
    ring_all();
    return IVPCI_ACK_OK;
}

// A guest can ask nonsense as fast as it likes; the log must not fill up for that.
ivpci_ack Membership::refuse(uint32_t slot, uint32_t op, uint32_t arg, const char* why) {
    spdlog::log(slots_[slot].complained ? spdlog::level::trace : spdlog::level::warn,
                "slot {}: request {} ({}) refused: {}", slot, op, arg, why);
    slots_[slot].complained = true;
    return IVPCI_ACK_INVALID;
}

void Membership::show_chunks(uint32_t slot) {
    store_relaxed(view_.header().slot[slot].chunks, __u32{leases_.held(slot)});
}

void Membership::ring_all() {
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        if (slots_[s].state != IVPCI_SLOT_EMPTY) {
            ring_(s);
        }
    }
}

void Membership::heartbeat() {
    ivpci_header& header = view_.header();
    store_relaxed(header.broker_heartbeat, load_relaxed(header.broker_heartbeat) + 1);
}

void Membership::goodbye() { store_release(view_.header().broker_pid, 0U); }

uint32_t Membership::connected() const {
    return static_cast<uint32_t>(std::count_if(
        slots_.begin(), slots_.end(), [](const Slot& s) { return s.state != IVPCI_SLOT_EMPTY; }));
}

uint32_t Membership::live() const {
    return static_cast<uint32_t>(std::count_if(
        slots_.begin(), slots_.end(), [](const Slot& s) { return s.state == IVPCI_SLOT_LIVE; }));
}

}  // namespace smc_steer::broker
