// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/rule.h"

#include <fmt/format.h>

#include <algorithm>

namespace smc_steer {

std::string_view to_string(Action action) { return action == Action::allow ? "allow" : "deny"; }

std::string to_string(const Origin& origin) {
    if (origin.line == 0) {
        return origin.file;
    }
    return fmt::format("{}:{}", origin.file, origin.line);
}

bool Rule::covers(std::uint16_t port) const {
    return std::any_of(ports.begin(), ports.end(),
                       [port](const PortRange& range) { return range.contains(port); });
}

std::string to_string(const Rule& rule) {
    std::string text(to_string(rule.action));
    const char* separator = " ";
    for (const auto& range : rule.ports) {
        text += separator + to_string(range);
        separator = ", ";
    }
    return text;
}

Policy builtin_policy() {
    Policy policy;
    policy.default_action = Action::allow;
    policy.default_origin = {"built-in", 0};
    policy.rules.push_back({Action::deny, {{22, 22}}, "ssh", {"built-in", 0}});
    return policy;
}

}  // namespace smc_steer
