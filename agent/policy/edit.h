// SPDX-License-Identifier: Apache-2.0
// What `smc-policy allow|deny|remove` makes of the rules it wrote before.
#ifndef SMC_STEER_AGENT_POLICY_EDIT_H
#define SMC_STEER_AGENT_POLICY_EDIT_H

#include <string>
#include <vector>

#include "agent/policy/rule.h"

namespace smc_steer {

struct Edit {
    std::vector<Rule> rules;       // what the CLI's own file should hold now
    std::vector<std::string> did;  // "removed: deny 6379", "added: allow 6379"
};

// Adds `rule`. The CLI's own rule about exactly the same connections with the other action, or
// another `via`, is taken back first: after "deny 6379", "allow 6379" has to open 6379 again,
// although deny wins. Asking for what is there already changes nothing but a newly given comment.
Edit add_rule(const std::vector<Rule>& own, const Rule& rule);

// Takes back `target`, which must be one of `own`.
Edit remove_rule(const std::vector<Rule>& own, const Rule& target);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_EDIT_H
