// SPDX-License-Identifier: Apache-2.0
// The BPF objects in the kernel: loading, attaching in the right order, undoing.
#ifndef SMC_STEER_AGENT_KERNEL_DATAPATH_H
#define SMC_STEER_AGENT_KERNEL_DATAPATH_H

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/kernel/bpf_object.h"
#include "agent/kernel/guards.h"
#include "agent/kernel/pins.h"
#include "agent/kernel/stores.h"
#include "agent/kernel/struct_ops.h"

namespace smc_steer {

// Since it was loaded; 0 where the kernel did not measure.
struct ProgramCost {
    std::string name;
    std::uint64_t runs = 0;
    std::uint64_t nanoseconds = 0;
};

// Nothing is attached by load(). Attach flows, handshake, steer in this order: steer makes
// new sockets SMC sockets, and all else must be in place by then. The destructor undoes in
// the reverse order. What a dead process leaves: steer and flows go with it (links, not
// pinned), the handshake's registration stays.
class Datapath {
public:
    // What a predecessor left attached: each goes when its successor is in its place, so that
    // no connection meets neither.
    struct OldLinks {
        std::vector<UniqueFd> steer;
        std::map<std::string, UniqueFd> flows;  // by program
    };

    // Maps that count (not those that rules are in) are taken over from `pins`, or their
    // values are if their shape has changed.
    static Result<std::unique_ptr<Datapath>> load(const Pins& pins, OldLinks old = {});
    ~Datapath();
    Datapath(const Datapath&) = delete;
    Datapath& operator=(const Datapath&) = delete;

    Stores& stores() { return *stores_; }

    // Counts connections of every process: attached to the root of the cgroup2 tree.
    Result<void> attach_flows();
    // Registers under handshake_name(), beside what a crashed agent left, if it did.
    Result<void> register_handshake();
    const std::string& handshake_name() const { return handshake_name_; }
    // Once no network namespace names them any more. Value: how many there were.
    Result<int> drop_stale_handshakes();
    Result<void> attach_steer();

    // Measures how long connections are, and leaves endpoints to TCP whose connections move fewer
    // bytes and end sooner. Before attach_flows(). On failure nothing is measured.
    Result<void> measure_lengths(std::uint64_t short_bytes, std::uint64_t short_ns);

    // Has the handshake offer SMC to these addresses, which are rewritten on the way, and the
    // guard watch what leaves. Nothing is offered before guards()->refresh().
    Result<void> guard_services(const std::vector<Cidr>& services);
    Guards* guards() { return guards_ ? &*guards_ : nullptr; }

    // Of all programs. The kernel counts while count_costs() is in force.
    std::vector<ProgramCost> costs() const;
    // Makes the kernel measure every BPF program of the machine, until destruction: two clock
    // readings per run.
    Result<void> count_costs();

    const SharedMaps& maps() const { return shared_; }
    Result<void> pin() const;
    void unpin() const { pins_.remove(); }
    // For a successor, by their numbers; they stay ours.
    std::vector<int> steer_links() const;
    std::map<std::string, int> flows_links() const;

    void detach_steer();
    void unregister_handshake();

private:
    Datapath(const Pins& pins, OldLinks old, BpfObject steer, BpfObject handshake, BpfObject flows)
        : pins_(pins),
          old_(std::move(old)),
          steer_(std::move(steer)),
          handshake_(std::move(handshake)),
          flows_(std::move(flows)) {}
    Result<void> attach_moved();
    Result<void> open_stores();
    Result<void> choose_handshake();
    Result<void> take_over_maps();
    Result<void> migrate_counters();

    Pins pins_;
    OldLinks old_;
    std::vector<UniqueFd> taken_over_;
    UniqueFd old_counters_;  // of another shape
    SharedMaps shared_;
    BpfObject steer_;
    BpfObject handshake_;
    BpfObject flows_;
    std::optional<BpfObject> moved_;
    std::optional<Guards> guards_;
    std::unique_ptr<Stores> stores_;
    std::string handshake_name_;
    std::vector<Registration> stale_;
    std::map<std::string, UniqueFd> flows_links_;
    BpfLink moved_link_;
    BpfLink handshake_link_;
    std::vector<BpfLink> steer_links_;
    UniqueFd stats_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_DATAPATH_H
