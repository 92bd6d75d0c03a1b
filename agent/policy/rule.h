// SPDX-License-Identifier: Apache-2.0
// What the rules are, wherever they come from.
#ifndef SMC_STEER_AGENT_POLICY_RULE_H
#define SMC_STEER_AGENT_POLICY_RULE_H

#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/ports.h"

namespace smc_steer {

enum class Action { deny, allow };

std::string_view to_string(Action action);

// Where a rule was written. line 0: not in a file.
struct Origin {
    std::string file;
    int line = 0;

    bool operator==(const Origin&) const = default;
};

// "FILE:LINE", or the bare name of what is not a file.
std::string to_string(const Origin& origin);

struct Rule {
    Action action = Action::deny;
    std::vector<PortRange> ports;
    std::string comment;
    Origin origin;

    bool operator==(const Rule&) const = default;
    bool covers(std::uint16_t port) const;
};

// "deny 22, 8000-8100"
std::string to_string(const Rule& rule);

// The rules in force, in the order of the files and of the rules in them. Order decides
// nothing: a port that any rule denies is denied, else one that any rule allows is
// allowed, else the default holds.
struct Policy {
    Action default_action = Action::allow;
    Origin default_origin;
    std::vector<Rule> rules;
};

// What holds when there is no policy file: everything but SSH, so that the way in to
// repair things never depends on SMC.
Policy builtin_policy();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_RULE_H
