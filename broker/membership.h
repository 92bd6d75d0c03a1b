// SPDX-License-Identifier: Apache-2.0
// The members of a region: slots, generations, GIDs, leases, and the guests' requests. Works on
// mapped memory alone; connections and eventfds are the server's. What the guests wrote is read
// here and only here (and in claims.cc), as hostile input.
#ifndef SMC_STEER_BROKER_MEMBERSHIP_H
#define SMC_STEER_BROKER_MEMBERSHIP_H

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "broker/claims.h"
#include "broker/leases.h"
#include "broker/shared.h"

namespace smc_steer::broker {

class Membership {
public:
    // Rings vector 0 of a connected slot. Called after the words it tells of were written.
    using Ring = std::function<void(uint32_t slot)>;

    // `view`: a region as init_header() made it; its memory must outlive this.
    Membership(const RegionView& view, uint64_t region_hash, Ring ring);

    // A QEMU came: EMPTY -> CONNECTED. Of the free slots, one without condemned leases if there is
    // one, then the lowest. None: the region is full. A request that the slot's former guest left
    // behind is void.
    std::optional<uint32_t> connect();

    // A QEMU went: any -> EMPTY. Its leases are condemned.
    void disconnect(uint32_t slot);

    // Answers whatever is asked in any slot, at most one request per slot. Any guest may ring for
    // any reason, so who rang is not known and does not matter.
    void serve_requests();

    // Frees condemned leases that nobody claims any more. True while some are left: call again.
    bool reclaim();

    [[nodiscard]] bool reclaim_pending() const { return condemned_slots_ != 0; }

    // Once a second.
    void heartbeat();
    // The broker leaves; memory and leases stay as they are.
    void goodbye();

    [[nodiscard]] uint32_t connected() const;  // CONNECTED or LIVE
    [[nodiscard]] uint32_t live() const;
    [[nodiscard]] const Leases& leases() const { return leases_; }

private:
    struct Slot {
        ivpci_slot_state state = IVPCI_SLOT_EMPTY;
        uint32_t generation = 0;
        uint32_t ack_seq = 0;
        bool complained = false;  // one log line per connection about nonsense requests
        bool reclaiming = false;  // `watch` holds condemned leases back
        ClaimWatch watch;
    };

    bool serve_request(uint32_t slot);
    ivpci_ack answer(uint32_t slot, uint32_t op, uint32_t arg);
    ivpci_ack join(uint32_t slot);
    ivpci_ack refuse(uint32_t slot, uint32_t op, uint32_t arg, const char* why);
    void acknowledge(uint32_t slot, uint32_t seq, ivpci_ack status);
    void end_generation(uint32_t slot, ivpci_slot_state state);
    void show_chunks(uint32_t slot);
    void ring_all();
    [[nodiscard]] uint32_t live_generation(uint32_t slot) const;

    RegionView view_;
    uint64_t hash_;
    Ring ring_;
    Leases leases_;
    std::vector<Slot> slots_;  // by slot number, [0] unused
    uint32_t condemned_slots_ = 0;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_MEMBERSHIP_H
