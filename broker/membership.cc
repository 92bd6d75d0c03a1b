// SPDX-License-Identifier: Apache-2.0
#include "broker/membership.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "broker/identity.h"
#include "broker/region.h"

namespace smc_steer::broker {
namespace {

constexpr uint32_t kGenerationMask = 0xffffff;  // ivpci_lease() has room for 24 bits

}  // namespace

Membership::Membership(const RegionView& view, Ledger& ledger, Ring ring, Now now)
    : view_(view),
      ledger_(ledger),
      hash_(region_hash(ledger.uuid)),
      ring_(std::move(ring)),
      now_(std::move(now)),
      leases_(view.leases(), ledger.chunk_words()),
      slots_(view.layout.slots + 1) {
    recover();
}

void Membership::recover() {
    show_all();
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        // Not LIVE with leases: the former broker was killed while it ended a generation. And
        // whatever is condemned is watched again. Claims that came since then only delay it.
        if (ledger_.slot[s].state != IVPCI_SLOT_LIVE) {
            condemn(s);
        } else if (leases_.condemned(s) != 0) {
            watch_condemned(s);
        }
    }
    reclaim();
}

uint32_t Membership::show(uint32_t slot) {
    const LedgerSlot& truth = ledger_.slot[slot];
    ivpci_slot& shown = view_.header().slot[slot];
    bool live = truth.state == IVPCI_SLOT_LIVE;
    uint32_t wrong = 0;
    wrong += put_right(shown.gid, live ? __u64{make_gid(hash_, slot, truth.generation)} : 0);
    wrong += put_right(shown.generation, __u32{truth.generation});
    wrong += put_right(shown.chunks, live ? __u32{leases_.held(slot)} : 0U);
    wrong += put_right(shown.ack_seq, __u32{truth.ack_seq});
    wrong += put_right(shown.era, __u32{truth.era});
    wrong += put_right(shown.state, __u32{truth.state});
    return wrong;
}

uint32_t Membership::show_all() {
    uint32_t wrong = put_right(view_.header().era, __u32{ledger_.era});
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        wrong += show(s);
    }
    return wrong + leases_.show_all([this](uint32_t s) { return ledger_.slot[s].generation; });
}

uint32_t Membership::repair() {
    uint32_t wrong = restore_identity(view_, ledger_.uuid) + show_all();
    counts_.header_repaired += wrong;
    return wrong;
}

uint32_t Membership::claiming_generation(uint32_t slot) const {
    const LedgerSlot& truth = ledger_.slot[slot];
    return truth.state == IVPCI_SLOT_LIVE || truth.held != 0 ? truth.generation : 0;
}

std::optional<uint32_t> Membership::connect() {
    std::optional<uint32_t> best;
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        if (ledger_.slot[s].state != IVPCI_SLOT_EMPTY || ledger_.slot[s].held != 0) {
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

    LedgerSlot& slot = ledger_.slot[*best];
    slots_[*best].complained = false;
    ++counts_.connects;
    acknowledge(*best, load_relaxed(view_.ctl(*best).req_seq), IVPCI_ACK_INVALID);
    // A new connection knows nothing, and is somebody else to all others.
    // One word at a time: the generation must survive whenever we are killed.
    slot.serial = slot.serial + 1 != 0 ? slot.serial + 1 : 1;
    slot.pid = 0;
    slot.uid = 0;
    slot.started = 0;
    slot.relearned = 0;
    slot.era = ledger_.era;
    slot.greeted = 0;
    slot.sending = 0;
    slot.broker = Told{};
    std::fill(std::begin(slot.peer), std::end(slot.peer), Told{});
    store_release(slot.state, uint32_t{IVPCI_SLOT_CONNECTED});
    ivpci_slot& shown = view_.header().slot[*best];
    store_relaxed(shown.era, __u32{slot.era});
    store_release(shown.state, __u32{IVPCI_SLOT_CONNECTED});
    return best;
}

void Membership::disconnect(uint32_t slot) {
    ++counts_.disconnects;
    bool was_live = ledger_.slot[slot].state == IVPCI_SLOT_LIVE;
    end_generation(slot, IVPCI_SLOT_EMPTY);
    ledger_.slot[slot].relearned = 0;
    if (was_live) {
        tell_all(slot);
    }
}

void Membership::hold(uint32_t slot) {
    ledger_.slot[slot].held = 1;
    disconnect(slot);
}

void Membership::release(uint32_t slot) {
    ledger_.slot[slot].held = 0;
    reclaim();
}

void Membership::begin_era() {
    store_relaxed(ledger_.era, ledger_.era + 1);
    store_relaxed(view_.header().era, __u32{ledger_.era});
}

void Membership::relearn(uint32_t slot) { ledger_.slot[slot].relearned = 1; }

bool Membership::has_relearned() const {
    return std::any_of(ledger_.slot, ledger_.slot + slots_.size(), [](const LedgerSlot& s) {
        return s.relearned != 0 && s.state != IVPCI_SLOT_EMPTY;
    });
}

// What readers must not see any more goes first: they take the GID only from a LIVE slot.
void Membership::end_generation(uint32_t slot, ivpci_slot_state state) {
    ivpci_slot& shown = view_.header().slot[slot];
    ledger_.slot[slot].state = state;
    store_release(shown.state, __u32{state});
    store_release(shown.gid, __u64{0});
    store_relaxed(shown.chunks, 0U);
    condemn(slot);
    // Claims of the slot as a writer end with its generation: others may be free now, too.
    reclaim();
}

void Membership::condemn(uint32_t slot) {
    if (leases_.condemn(slot) != 0) {
        watch_condemned(slot);
    }
}

void Membership::watch_condemned(uint32_t slot) {
    slots_[slot].watch.start(view_, slot, [this](uint32_t s) { return claiming_generation(s); });
    condemned_slots_ += slots_[slot].reclaiming ? 0 : 1;
    slots_[slot].reclaiming = true;
}

bool Membership::reclaim() {
    auto generation = [this](uint32_t s) { return claiming_generation(s); };
    for (uint32_t s = 1; s < slots_.size() && condemned_slots_ != 0; ++s) {
        Slot& slot = slots_[s];
        if (!slot.reclaiming || ledger_.slot[s].held != 0 ||
            !slot.watch.resolved(view_, generation)) {
            continue;
        }
        slot.reclaiming = false;
        --condemned_slots_;
        uint32_t freed = leases_.free_condemned(s);
        counts_.chunks_freed += freed;
        spdlog::debug("slot={} event=reclaimed chunks={}", s, freed);
    }
    return condemned_slots_ != 0;
}

void Membership::serve_requests() {
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        if (ledger_.slot[s].state != IVPCI_SLOT_EMPTY && serve_request(s)) {
            ring_(s);
        }
    }
}

bool Membership::serve_request(uint32_t slot) {
    ivpci_ctl& ctl = view_.ctl(slot);
    uint32_t seq = load_acquire(ctl.req_seq);
    if (seq == ledger_.slot[slot].ack_seq) {
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
    ledger_.slot[slot].ack_seq = seq;
    store_relaxed(shown.ack_status, __u32{status});
    store_release(shown.ack_seq, __u32{seq});
}

ivpci_ack Membership::answer(uint32_t slot, uint32_t op, uint32_t arg) {
    if (op == IVPCI_OP_JOIN) {
        return join(slot);
    }
    if (ledger_.slot[slot].state != IVPCI_SLOT_LIVE) {
        return refuse(slot, op, arg, "it has not joined");
    }
    switch (op) {
        case IVPCI_OP_LEAVE:
            end_generation(slot, IVPCI_SLOT_CONNECTED);
            ++counts_.leaves;
            if (slots_[slot].log.allow(now_())) {
                spdlog::info("slot={} event=left generation={} unlogged={}", slot,
                             ledger_.slot[slot].generation, slots_[slot].log.suppressed());
            }
            tell_all(slot);
            return IVPCI_ACK_OK;
        case IVPCI_OP_LEASE: {
            if (arg == 0) {
                return refuse(slot, op, arg, "no chunks asked for");
            }
            uint32_t taken = leases_.take(slot, ledger_.slot[slot].generation, arg);
            counts_.leases += taken;
            show_chunks(slot);
            return taken != 0 ? IVPCI_ACK_OK : IVPCI_ACK_FULL;
        }
        case IVPCI_OP_RETURN:
            if (!leases_.give_back(slot, arg)) {
                return refuse(slot, op, arg, "it does not hold that chunk");
            }
            ++counts_.returns;
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
    if (ledger_.slot[slot].state == IVPCI_SLOT_LIVE) {
        end_generation(slot, IVPCI_SLOT_CONNECTED);
    }

    LedgerSlot& s = ledger_.slot[slot];
    uint32_t next = (s.generation + 1) & kGenerationMask;
    store_relaxed(s.generation, next != 0 ? next : 1);
    store_release(s.state, uint32_t{IVPCI_SLOT_LIVE});
    slots_[slot].beat_seen = now_();
    ++counts_.joins;
    ivpci_slot& shown = view_.header().slot[slot];
    uint64_t gid = make_gid(hash_, slot, s.generation);
    store_relaxed(shown.gid, __u64{gid});
    store_relaxed(shown.generation, __u32{s.generation});
    store_relaxed(shown.chunks, 0U);
    store_release(shown.state, __u32{IVPCI_SLOT_LIVE});
    if (slots_[slot].log.allow(now_())) {
        spdlog::info(
            "slot={} event=joined generation={} gid={:016x} epoch={:x} vectors={} unlogged={}",
            slot, s.generation, gid, load_relaxed(ctl.epoch), vectors,
            slots_[slot].log.suppressed());
    }
    tell_all(slot);
    return IVPCI_ACK_OK;
}

// A guest can ask nonsense as fast as it likes; the log must not fill up for that.
ivpci_ack Membership::refuse(uint32_t slot, uint32_t op, uint32_t arg, const char* why) {
    Slot& s = slots_[slot];
    const bool say = !s.complained && s.log.allow(now_());
    spdlog::log(say ? spdlog::level::warn : spdlog::level::trace,
                "slot={} event=refused op={} arg={} reason=\"{}\"", slot, op, arg, why);
    ++counts_.refused_requests;
    s.complained = s.complained || say;
    return IVPCI_ACK_INVALID;
}

void Membership::show_chunks(uint32_t slot) {
    store_relaxed(view_.header().slot[slot].chunks, __u32{leases_.held(slot)});
}

void Membership::tell_all(uint32_t slot) {
    if (slots_[slot].rings.allow(now_())) {
        ring_all();
    } else {
        ring_later_ = true;
    }
}

void Membership::ring_late() {
    if (ring_later_) {
        ring_all();
    }
}

// Whoever is rung sees all that was written until now: nothing is left for later.
void Membership::ring_all() {
    ring_later_ = false;
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        if (ledger_.slot[s].state != IVPCI_SLOT_EMPTY) {
            ring_(s);
        }
    }
}

void Membership::heartbeat(Clock::time_point now) {
    ivpci_header& header = view_.header();
    store_relaxed(header.broker_heartbeat, load_relaxed(header.broker_heartbeat) + 1);
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        uint32_t beat = load_relaxed(view_.ctl(s).heartbeat);
        if (beat != slots_[s].beat || slots_[s].beat_seen == Clock::time_point{}) {
            slots_[s].beat = beat;
            slots_[s].beat_seen = now;
        }
    }
}

std::optional<Clock::duration> Membership::silence(uint32_t slot, Clock::time_point now) const {
    const Slot& s = slots_[slot];
    if (ledger_.slot[slot].state != IVPCI_SLOT_LIVE || s.beat_seen == Clock::time_point{}) {
        return std::nullopt;
    }
    return std::max(now - s.beat_seen, Clock::duration::zero());
}

std::vector<uint32_t> Membership::silent(Clock::time_point now) const {
    std::vector<uint32_t> found;
    for (uint32_t s = 1; s < slots_.size(); ++s) {
        auto age = silence(s, now);
        if (ledger_.slot[s].relearned != 0 && age && *age >= kRelearnedSilence) {
            found.push_back(s);
        }
    }
    return found;
}

void Membership::goodbye() { store_release(view_.header().broker_pid, 0U); }

uint32_t Membership::connected() const {
    return static_cast<uint32_t>(
        std::count_if(ledger_.slot, ledger_.slot + slots_.size(),
                      [](const LedgerSlot& s) { return s.state != IVPCI_SLOT_EMPTY; }));
}

uint32_t Membership::live() const {
    return static_cast<uint32_t>(
        std::count_if(ledger_.slot, ledger_.slot + slots_.size(),
                      [](const LedgerSlot& s) { return s.state == IVPCI_SLOT_LIVE; }));
}

}  // namespace smc_steer::broker
