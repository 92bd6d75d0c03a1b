// SPDX-License-Identifier: Apache-2.0
// The maps of include/smc_steer/: what the agent writes and the datapath decides by, and what
// the datapath counts.
#ifndef SMC_STEER_AGENT_KERNEL_STORES_H
#define SMC_STEER_AGENT_KERNEL_STORES_H

#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>

#include <array>
#include <cstdint>

#include "agent/kernel/address.h"
#include "agent/kernel/bpf_object.h"

namespace smc_steer {

using Counters = std::array<std::uint64_t, STEER_COUNTERS>;

// The contract's name of a counter in lower case, "syn_offered"; stable, part of --json.
std::string_view counter_name(steer_counter counter);

class Stores {
public:
    // Checks that all maps are there with the contract's key and value sizes.
    static Result<Stores> open(const SharedMaps& maps);

    // Lets the handshake offer SMC until `until_ns` of CLOCK_MONOTONIC; 0 ends it now.
    // `link_port`: where our agent takes other agents' connections.
    Result<void> set_lease(std::uint64_t until_ns, std::uint16_t link_port = 0);

    // All of the old table or all of the new one: a new inner map replaces the old.
    Result<void> set_policy(const steer_policy& policy);

    Result<void> add_same_host(const Address& address, steer_peer peer);
    Result<void> remove_same_host(const Address& address);

    Result<void> add_workload(std::uint64_t cgroup_id);

    // Summed over the CPUs.
    Result<Counters> counters() const;

private:
    Stores() = default;

    int control_ = -1;
    int policy_ = -1;
    int same_host_ = -1;
    int workloads_ = -1;
    int counters_ = -1;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_STORES_H
