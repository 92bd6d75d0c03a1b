// SPDX-License-Identifier: Apache-2.0
// Whose sockets become SMC sockets: agent.yaml's workloads, and what pods say of themselves. Pure.
#ifndef SMC_STEER_AGENT_POLICY_STEERING_H
#define SMC_STEER_AGENT_POLICY_STEERING_H

#include <smc_steer/policy_abi.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/policy/members.h"

namespace smc_steer {

// agent.yaml's `workloads` and `pods`.
struct Steered {
    std::vector<Workload> workloads;
    bool pods = true;  // pods without an annotation are steered, where `workloads` has them

    bool operator==(const Steered&) const = default;
};

// Control group -> what becomes of sockets made in it. The nearest one with an entry decides.
struct Steering {
    std::map<std::string, steer_workload> paths;
    std::map<std::uint64_t, steer_workload> ids;  // the same, as map `workloads` wants it
};

// A control group of all pods has an entry of its own where pods are to be left alone unless they
// say otherwise: a new pod is left alone before anybody has told of it.
Steering steering(const Steered& steered, const Machine& machine);

// As the datapath decides it.
bool is_steered(const Steering& steering, std::string path);

// Where the kubelet and container runtimes that serve one put pods.
const std::vector<Workload>& pod_parents();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_STEERING_H
