// SPDX-License-Identifier: Apache-2.0
// The members of a region: slots, generations, GIDs, leases, and the guests' requests. Works on
// mapped memory alone; connections and eventfds are the server's. What the guests wrote is read
// here and only here (and in claims.cc), as hostile input.
#ifndef SMC_STEER_BROKER_MEMBERSHIP_H
#define SMC_STEER_BROKER_MEMBERSHIP_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "broker/claims.h"
#include "broker/leases.h"
#include "broker/ledger.h"
#include "broker/rate_limit.h"
#include "broker/shared.h"

namespace smc_steer::broker {

using Clock = std::chrono::steady_clock;

// How long a re-learned member may be silent before it is taken for dead.
constexpr std::chrono::seconds kRelearnedSilence{10};

// How late at most others are rung for the changes of a member that changes on and on.
constexpr std::chrono::milliseconds kRingLater{100};

// What happened since the broker started, for people and graphs.
struct MemberCounts {
    uint64_t connects = 0, disconnects = 0, joins = 0, leaves = 0, leases = 0, returns = 0;
    uint64_t refused_requests = 0, chunks_freed = 0, header_repaired = 0;
};

class Membership {
public:
    // Rings vector 0 of a connected slot. Called after the words it tells of were written.
    using Ring = std::function<void(uint32_t slot)>;
    using Now = std::function<Clock::time_point()>;

    // `view`: a region as init_header() made it; `ledger`: its ledger, fresh or a former broker's.
    // Both must outlive this. What a former broker began is finished, and the header shows what
    // the ledger says, whatever was scribbled there.
    Membership(
        const RegionView& view, Ledger& ledger, Ring ring, Now now = [] { return Clock::now(); });

    // A QEMU came: EMPTY -> CONNECTED. Of the free slots, one without condemned leases if there is
    // one, then the lowest. None: the region is full. A request that the slot's former guest left
    // behind is void.
    std::optional<uint32_t> connect();

    // A QEMU went: any -> EMPTY. Its leases are condemned.
    void disconnect(uint32_t slot);

    // A QEMU is not served any more but may still have the region mapped: shown EMPTY, but the slot
    // is given to nobody and neither the memory it held nor what it claimed is reused.
    void hold(uint32_t slot);
    // ... until its process is gone.
    void release(uint32_t slot);

    // Without the former broker's connections: before any member is re-learned.
    void begin_era();
    // A former broker's member that this one has no connection to. It keeps what it has; it and
    // members with a connection can never ring each other, and know by their eras to look.
    void relearn(uint32_t slot);
    [[nodiscard]] bool has_relearned() const;
    // Re-learned members whose heartbeat did not move for kRelearnedSilence.
    [[nodiscard]] std::vector<uint32_t> silent(Clock::time_point now) const;

    // Answers whatever is asked in any slot, at most one request per slot. Any guest may ring for
    // any reason, so who rang is not known and does not matter.
    void serve_requests();

    // Frees condemned leases that nobody claims any more. True while some are left: call again.
    bool reclaim();

    [[nodiscard]] bool reclaim_pending() const { return condemned_slots_ != 0; }

    // Puts right what a member wrote into the header. Returns how many words that were.
    uint32_t repair();

    // Once a second: counts the broker's heartbeat up and looks at the guests'.
    void heartbeat(Clock::time_point now);
    // Since the guest's heartbeat moved, as far as this broker saw; none: not LIVE.
    [[nodiscard]] std::optional<Clock::duration> silence(uint32_t slot,
                                                         Clock::time_point now) const;
    // A successor is there: everybody is rung, and looks.
    void announce_broker() { ring_all(); }

    // A member that joins and leaves on and on has everybody rung a few times at once, and then
    // later, once for all that happened meanwhile: ring_late(), kRingLater from the moment that
    // this became true.
    [[nodiscard]] bool must_ring_later() const { return ring_later_; }
    void ring_late();
    // The broker leaves; memory and leases stay as they are.
    void goodbye();

    [[nodiscard]] uint32_t connected() const;  // CONNECTED or LIVE
    [[nodiscard]] uint32_t live() const;
    [[nodiscard]] const Leases& leases() const { return leases_; }
    [[nodiscard]] const MemberCounts& counts() const { return counts_; }

private:
    // What a successor does not need to know.
    struct Slot {
        bool complained = false;  // one log line per connection about nonsense requests
        // Of a slot and not of a connection: coming again gives nothing back.
        RateLimit log{8, std::chrono::seconds(1)};
        RateLimit rings{8, std::chrono::seconds(1)};
        bool reclaiming = false;  // `watch` holds condemned leases back
        ClaimWatch watch;
        uint32_t beat = 0;
        Clock::time_point beat_seen{};
    };

    bool serve_request(uint32_t slot);
    ivpci_ack answer(uint32_t slot, uint32_t op, uint32_t arg);
    ivpci_ack join(uint32_t slot);
    ivpci_ack refuse(uint32_t slot, uint32_t op, uint32_t arg, const char* why);
    void acknowledge(uint32_t slot, uint32_t seq, ivpci_ack status);
    void end_generation(uint32_t slot, ivpci_slot_state state);
    void show_chunks(uint32_t slot);
    // The membership of `slot` is another one: everybody is rung, now or later.
    void tell_all(uint32_t slot);
    void ring_all();
    void recover();
    uint32_t show(uint32_t slot);
    uint32_t show_all();
    void condemn(uint32_t slot);
    void watch_condemned(uint32_t slot);
    // Generation whose claims count: of a LIVE slot, or of a held one's last guest.
    [[nodiscard]] uint32_t claiming_generation(uint32_t slot) const;

    RegionView view_;
    Ledger& ledger_;
    uint64_t hash_;
    Ring ring_;
    Now now_;
    Leases leases_;
    std::vector<Slot> slots_;  // by slot number, [0] unused
    MemberCounts counts_;
    uint32_t condemned_slots_ = 0;
    bool ring_later_ = false;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_MEMBERSHIP_H
