// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/verdicts.h"

#include <algorithm>
#include <cstring>

namespace smc_steer {
namespace {

void paint(const Policy& policy, Action action, steer_policy& out) {
    for (const auto& rule : policy.rules) {
        if (rule.action != action) {
            continue;
        }
        for (const auto& range : rule.ports) {
            std::memset(out.port + range.first, action == Action::allow ? STEER_ALLOW : STEER_DENY,
                        range.last - range.first + 1u);
        }
    }
}

}  // namespace

void compile(const Policy& policy, steer_policy& out) {
    std::memset(out.port, policy.default_action == Action::allow ? STEER_ALLOW : STEER_DENY,
                sizeof(out.port));
    paint(policy, Action::allow, out);
    paint(policy, Action::deny, out);
    out.port[0] = STEER_DENY;
}

Explanation explain(const Policy& policy, std::uint16_t port) {
    for (Action action : {Action::deny, Action::allow}) {
        for (const auto& rule : policy.rules) {
            if (rule.action == action && rule.covers(port)) {
                return {action, rule};
            }
        }
    }
    return {policy.default_action, std::nullopt};
}

std::optional<Rule> denied_by(const Policy& policy, PortRange range) {
    for (const auto& rule : policy.rules) {
        if (rule.action != Action::deny) {
            continue;
        }
        bool meets = std::any_of(rule.ports.begin(), rule.ports.end(), [range](PortRange mine) {
            return mine.first <= range.last && range.first <= mine.last;
        });
        if (meets) {
            return rule;
        }
    }
    return std::nullopt;
}

}  // namespace smc_steer
