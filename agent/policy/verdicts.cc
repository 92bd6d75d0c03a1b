// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/verdicts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace smc_steer {
namespace {

bool covers(const Rule& rule, const Connection& connection) {
    return rule.covers(connection.way) && rule.covers(connection.port) &&
           rule.covers(connection.peer) && (!rule.workload || connection.is_of(*rule.workload));
}

bool meet(PortRange a, PortRange b) { return a.first <= b.last && b.first <= a.last; }
bool meet(const Cidr& a, const Cidr& b) { return a.contains(b) || b.contains(a); }

// Empty is everything.
template <typename T>
bool any_meet(const std::vector<T>& a, const std::vector<T>& b) {
    return a.empty() || b.empty() || std::any_of(a.begin(), a.end(), [&b](const T& x) {
               return std::any_of(b.begin(), b.end(), [&x](const T& y) { return meet(x, y); });
           });
}

bool denies_path_of(const Rule& other, const Rule& rule) {
    constexpr std::array kPaths{Via::smc, Via::direct};
    return std::any_of(kPaths.begin(), kPaths.end(), [&](Via path) {
        return rule.action_on(path) == Action::allow && other.action_on(path) == Action::deny;
    });
}

bool any_meet(const Rule& a, const Rule& b) {
    return (a.direction == Direction::both || b.covers(a.direction)) &&
           any_meet(a.ports, b.ports) && any_meet(a.peers, b.peers) &&
           (!a.workload || !b.workload || *a.workload == *b.workload);
}

}  // namespace

Explanation explain(const Policy& policy, const Connection& connection, Via path) {
    if (connection.port == 0) {
        return {Action::deny, std::nullopt};
    }
    for (Action action : {Action::deny, Action::allow}) {
        for (const auto& rule : policy.rules) {
            if (rule.action_on(path) == action && covers(rule, connection)) {
                return {action, rule};
            }
        }
    }
    return {policy.default_action, std::nullopt};
}

std::string to_string(const Explanation& explanation) {
    if (!explanation.rule) {
        return fmt::format("no rule is about it, the default is {}", to_string(explanation.action));
    }
    const auto& rule = *explanation.rule;
    return fmt::format("{}{} ({})",
                       rule.action == explanation.action ? "" : "it takes the other path: ",
                       to_string(rule), to_string(rule.origin));
}

std::optional<Rule> denied_by(const Policy& policy, const Rule& rule) {
    for (const auto& other : policy.rules) {
        if (denies_path_of(other, rule) && any_meet(rule, other)) {
            return other;
        }
    }
    return std::nullopt;
}

std::string denied_by_text(const Policy& policy, const Rule& rule) {
    auto other = denied_by(policy, rule);
    if (!other) {
        return "";
    }
    auto why = other->via ? fmt::format("via {} keeps the other path off", to_string(*other->via))
                          : std::string("deny wins");
    return fmt::format("{}: {} in {} still stands", why, to_string(*other),
                       to_string(other->origin));
}

}  // namespace smc_steer
