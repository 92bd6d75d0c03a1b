// SPDX-License-Identifier: Apache-2.0
// The maps of include/smc_steer/: what the agent writes and the datapath decides by, and what
// the datapath counts.
#ifndef SMC_STEER_AGENT_KERNEL_STORES_H
#define SMC_STEER_AGENT_KERNEL_STORES_H

#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/kernel/address.h"
#include "agent/kernel/bpf_object.h"
#include "agent/policy/members.h"

namespace smc_steer {

using Counters = std::array<std::uint64_t, STEER_COUNTERS>;

// The contract's name of a counter in lower case, "syn_offered"; stable, part of --json.
std::string_view counter_name(steer_counter counter);

class Stores {
public:
    // Checks that all maps are there with the contract's key and value sizes. Of the process that
    // calls it: its own sockets are left alone.
    static Result<Stores> open(const SharedMaps& maps);

    // Lets the handshake offer SMC until `until_ns` of CLOCK_MONOTONIC; 0 ends it now.
    // `link_port`: where our agent takes other agents' connections.
    Result<void> set_lease(std::uint64_t until_ns, std::uint16_t link_port = 0);

    // All of the old rules or all of the new ones, whatever fails: fills the slot that is not
    // in force, then makes one word name it. Returns when no program reads the old slot.
    Result<void> set_policy(const PolicyTables& tables, const Subjects& subjects);
    // Who belongs to the workloads of the policy in force, one entry after the other.
    Result<void> set_subjects(const Subjects& subjects);

    Result<void> add_same_host(const Address& address, steer_peer peer);
    Result<void> remove_same_host(const Address& address);

    Result<void> set_workload(std::uint64_t cgroup_id, steer_workload what);
    Result<void> remove_workload(std::uint64_t cgroup_id);

    // What a short connection is (policy_abi.h); 0: nobody steps back from them.
    Result<void> set_short(std::uint64_t bytes, std::uint64_t nanoseconds);
    struct Endpoint {
        Address address;
        std::uint16_t port = 0;
        steer_lengths lengths{};
    };
    // Where this guest's connections to others of this host went, up to STEER_ENDPOINTS_MAX.
    std::vector<Endpoint> endpoints() const;
    std::optional<steer_lengths> lengths(const Address& address, std::uint16_t port) const;
    bool steps_back() const { return now_.short_bytes != 0; }

    // Summed over the CPUs.
    Result<Counters> counters() const;

    // The map's descriptor, for DiagSocket::tcp().
    int connections() const { return connections_; }

private:
    Stores() = default;
    Result<void> write_control();
    Result<void> fill_slot(std::uint32_t slot, const PolicyTables& tables,
                           const Subjects& subjects);

    steer_control now_{};
    UniqueFd subjects_;  // of the policy in force
    UniqueFd nothing_;   // slot 0 of the policies, nobody's
    Subjects members_;   // what is in it
    int control_ = -1;
    int policy_ = -1;
    int policy_peers_ = -1;
    int policy_subjects_ = -1;
    int policy_scopes_ = -1;
    int policy_spans_ = -1;
    int same_host_ = -1;
    int workloads_ = -1;
    int counters_ = -1;
    int connections_ = -1;
    int endpoints_ = -1;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_STORES_H
