// SPDX-License-Identifier: Apache-2.0
// Who belongs to the workloads of the rules, as the machine is now. Pure: the machine is an
// argument.
#ifndef SMC_STEER_AGENT_POLICY_MEMBERS_H
#define SMC_STEER_AGENT_POLICY_MEMBERS_H

#include <smc_steer/policy_abi.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "agent/policy/pod.h"
#include "agent/policy/tables.h"

namespace smc_steer {

struct Machine {
    std::vector<CgroupEntry> cgroups;            // each after the one it is in
    std::map<std::string, std::uint64_t> netns;  // name below /run/netns -> inode number
    std::vector<Pod> pods{};

    bool operator==(const Machine&) const = default;
};

// All bytes, as the map's keys are compared: what a kind does not use is zero.
struct SubjectLess {
    bool operator()(const steer_subject& a, const steer_subject& b) const {
        // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
        return std::memcmp(&a, &b, sizeof(a)) < 0;
    }
};
using Subjects = std::map<steer_subject, steer_chain, SubjectLess>;

// What is to be in map policy_subjects. A control group has an entry where a workload begins;
// its chain has the workloads around it too. One with more of them than a chain has room for
// gets a chain that is too long, which the datapath denies.
Subjects members(const std::vector<NamedWorkload>& workloads, const Machine& machine);

// Does anything in `workloads` depend on the machine.
bool depends_on_machine(const std::vector<NamedWorkload>& workloads);

// Those of `cgroups` that `wanted` names, with nothing of what is below one of them.
std::vector<CgroupEntry> topmost(const std::vector<Workload>& wanted,
                                 const std::vector<CgroupEntry>& cgroups);

// Every process.
const std::vector<Workload>& all_workloads();
// Where container engines put what they run, for the usual ones.
const std::vector<Workload>& container_cgroups();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_MEMBERS_H
