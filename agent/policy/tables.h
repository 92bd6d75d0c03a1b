// SPDX-License-Identifier: Apache-2.0
// From rules to the tables the datapath reads (include/smc_steer/policy_abi.h). The datapath is the
// SMC path's: a rule with `via: direct` is one that denies there, and needs no room of its own.
#ifndef SMC_STEER_AGENT_POLICY_TABLES_H
#define SMC_STEER_AGENT_POLICY_TABLES_H

#include <smc_steer/policy_abi.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/policy/rule.h"

namespace smc_steer {

// One of the workloads that rules name. What is the case on this machine (which control groups
// there are, which inode a network namespace has) is not known here: see members.h.
struct NamedWorkload {
    Workload workload;
    std::uint32_t id = 0;
    bool never = false;  // all its connections are denied
};

struct PolicyTables {
    std::unique_ptr<steer_policy> ports;
    std::vector<std::pair<steer_prefix, steer_chain>> peers;
    std::vector<NamedWorkload> workloads;  // by id, from 1
    std::vector<std::pair<steer_scope, steer_spans>> scopes;
    std::vector<steer_span> spans;
};

// Takes time and room in proportion to the rules with their lists written out (a rule with
// three networks and two ranges of ports counts six times). Fails, with the rule's place, when
// that is more than the datapath has room for.
Result<PolicyTables> compile(const Policy& policy);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_TABLES_H
