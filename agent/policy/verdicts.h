// SPDX-License-Identifier: Apache-2.0
// From rules to the table the datapath reads, and back to the rule that decided.
#ifndef SMC_STEER_AGENT_POLICY_VERDICTS_H
#define SMC_STEER_AGENT_POLICY_VERDICTS_H

#include <smc_steer/policy_abi.h>

#include <cstdint>
#include <optional>
#include <string>

#include "agent/policy/rule.h"

namespace smc_steer {

// Deny wins, then allow, then the default. Port 0 is no server's and always denied.
// `out` is 64 KiB, the caller's, and written completely.
void compile(const Policy& policy, steer_policy& out);

struct Explanation {
    Action action = Action::deny;
    std::optional<Rule> rule;  // the rule that decided; none: the default
};

// Which rule decides about `port`: the first denying one, else the first allowing one.
Explanation explain(const Policy& policy, std::uint16_t port);

// A rule that denies a port of `range` all the same; none: allowing it has its full effect.
std::optional<Rule> denied_by(const Policy& policy, PortRange range);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_VERDICTS_H
