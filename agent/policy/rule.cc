// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/rule.h"

#include <fmt/format.h>

#include <algorithm>

namespace smc_steer {

std::string_view to_string(Action action) { return action == Action::allow ? "allow" : "deny"; }

std::string_view to_string(Direction direction) {
    switch (direction) {
        case Direction::out:
            return "out";
        case Direction::in:
            return "in";
        case Direction::both:
            break;
    }
    return "both";
}

std::string_view to_string(Via via) { return via == Via::smc ? "smc" : "direct"; }

std::optional<Action> parse_action(std::string_view text) {
    for (Action action : {Action::allow, Action::deny}) {
        if (text == to_string(action)) {
            return action;
        }
    }
    return std::nullopt;
}

std::optional<Direction> parse_direction(std::string_view text) {
    for (Direction direction : {Direction::both, Direction::out, Direction::in}) {
        if (text == to_string(direction)) {
            return direction;
        }
    }
    return std::nullopt;
}

std::optional<Via> parse_via(std::string_view text) {
    for (Via via : {Via::smc, Via::direct}) {
        if (text == to_string(via)) {
            return via;
        }
    }
    return std::nullopt;
}

std::string to_string(const Origin& origin) {
    if (origin.line == 0) {
        return origin.file;
    }
    return fmt::format("{}:{}", origin.file, origin.line);
}

bool Rule::same_connections(const Rule& other) const {
    return ports == other.ports && direction == other.direction && peers == other.peers &&
           workload == other.workload;
}

bool Rule::covers(std::uint16_t port) const {
    return ports.empty() || std::any_of(ports.begin(), ports.end(),
                                        [port](PortRange range) { return range.contains(port); });
}

bool Rule::covers(const In6& peer) const {
    return peers.empty() || std::any_of(peers.begin(), peers.end(),
                                        [&peer](const Cidr& cidr) { return cidr.contains(peer); });
}

Result<void> check_rule(const Rule& rule) {
    if (rule.ports.empty() && rule.peers.empty() && !rule.workload) {
        return fail(
            "a rule needs ports, peers or a workload: what holds for all the rest is "
            "'default'");
    }
    if (rule.via && rule.action != Action::allow) {
        return fail("via: only with allow: what is denied takes no path");
    }
    // Who made a socket is known when it is made, and not any more when it connects.
    if (rule.workload && rule.workload->kind == WorkloadKind::command) {
        if (rule.action != Action::deny) {
            return fail(
                "workload: a command can be denied only: whose socket connects is not "
                "known any more");
        }
        if (!rule.is_about_sockets()) {
            return fail(
                "workload: a command goes without ports, peers and direction: whose "
                "socket connects is not known any more");
        }
    }
    return {};
}

std::string to_string(const Rule& rule) {
    std::string text(to_string(rule.action));
    if (rule.direction != Direction::both) {
        text += fmt::format(" {}", to_string(rule.direction));
    }
    auto append = [&text](const char* before, const auto& list) {
        const char* separator = before;
        for (const auto& entry : list) {
            text += separator + to_string(entry);
            separator = ", ";
        }
    };
    append(" ", rule.ports);
    if (rule.ports.empty()) {
        text += " all ports";
    }
    append(" with ", rule.peers);
    if (rule.workload) {
        text += " of " + to_string(*rule.workload);
    }
    if (rule.via) {
        text += fmt::format(" via {}", to_string(*rule.via));
    }
    return text;
}

Policy builtin_policy(const std::vector<PortRange>& reserved) {
    Policy policy;
    policy.default_action = Action::allow;
    policy.default_origin = {"built-in", 0};
    policy.rules.push_back({Action::deny, {{22, 22}}, "ssh", {"built-in", 0}});
    if (!reserved.empty()) {
        policy.rules.push_back(
            {Action::deny, reserved, "net.ipv4.ip_local_reserved_ports", {"built-in", 0}});
    }
    return policy;
}

}  // namespace smc_steer
