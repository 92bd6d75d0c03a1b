// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/decision_json.h"

#include "agent/kernel/address.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {
namespace {

struct Word {
    const char* side;
    const char* decision;
    bool by_rule;
};

Word word_of(std::uint16_t decision) {
    switch (decision) {
        case STEER_SYN_OFFERED:
            return {"client", "offered", true};
        case STEER_SYN_DENIED:
            return {"client", "denied", true};
        case STEER_SYN_NOT_SAME_HOST:
            return {"client", "not_same_host", false};
        case STEER_SYN_NO_AGENT:
            return {"client", "no_agent", false};
        case STEER_SYN_SHORT:
            return {"client", "short", false};
        case STEER_SYNACK_AGREED:
            return {"server", "agreed", true};
        case STEER_SYNACK_DENIED:
            return {"server", "denied", true};
        case STEER_SYNACK_NOT_SAME_HOST:
            return {"server", "not_same_host", false};
        case STEER_SYNACK_NO_AGENT:
            return {"server", "no_agent", false};
        default:
            return {"", "unknown", false};
    }
}

std::string rule_text(const Rule& rule) {
    return to_string(rule) + (rule.origin.file.empty() ? "" : " (" + to_string(rule.origin) + ")");
}

// Whose socket it was is not known here: where the rules that ask nobody do not account for the
// decision, the first one about a workload that could is named.
std::string rule_text(const Policy& policy, const Connection& connection, Action decided) {
    auto explanation = explain(policy, connection, Via::smc);
    if (explanation.action == decided && explanation.rule) {
        return rule_text(*explanation.rule);
    }
    if (explanation.action == decided) {
        return "default " + std::string(to_string(policy.default_action));
    }
    for (const auto& rule : policy.rules) {
        if (rule.workload && rule.action_on(Via::smc) == decided && rule.covers(connection.way) &&
            rule.covers(connection.port) && rule.covers(connection.peer)) {
            return rule_text(rule);
        }
    }
    return "";
}

}  // namespace

nlohmann::json decision_json(const steer_decision& decision, const Policy& policy) {
    auto word = word_of(decision.decision);
    bool server = decision.decision >= STEER_SYNACK_AGREED;
    bool denied = decision.decision == STEER_SYN_DENIED || decision.decision == STEER_SYNACK_DENIED;
    auto peer = Address::from_bytes(decision.peer.in6);
    Connection connection;
    connection.way = server ? Direction::in : Direction::out;
    connection.port = decision.server_port;
    connection.peer = peer.in6;
    return {
        {"monotonic_ns", decision.time_ns},
        {"side", word.side},
        {"decision", word.decision},
        {"peer", to_string(peer)},
        {"port", decision.server_port},
        {"rule",
         word.by_rule ? rule_text(policy, connection, denied ? Action::deny : Action::allow) : ""},
    };
}

}  // namespace smc_steer
