// SPDX-License-Identifier: Apache-2.0
// smc-policy explain: what will become of a connection, in the order in which it is decided.
#include <fmt/format.h>

#include "agent/daemon/agent.h"
#include "agent/daemon/rule_json.h"
#include "agent/policy/members.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {
namespace {

using nlohmann::json;

json step(const char* what, bool good, const std::string& text) {
    return {{"what", what}, {"ok", good}, {"text", text}};
}

// Does somebody of workload `asked` also belong to `named`, as far as the two can tell.
bool belongs(const Workload& asked, const Workload& named) {
    if (asked == named) {
        return true;
    }
    if (asked.kind != WorkloadKind::cgroup) {
        return false;
    }
    for (auto path = asked.value; !path.empty(); path = path.substr(0, path.rfind('/'))) {
        if (names_cgroup(named, path)) {
            return true;
        }
    }
    return names_cgroup(named, "/");
}

std::string why(const Explanation& explanation, const Policy& policy) {
    if (!explanation.rule) {
        return fmt::format("no rule is about it, the default is {} ({})",
                           to_string(policy.default_action), to_string(policy.default_origin));
    }
    const auto& rule = *explanation.rule;
    return fmt::format("{} ({}){}", to_string(rule), to_string(rule.origin),
                       rule.comment.empty() ? "" : ": " + rule.comment);
}

bool is_steered(const Config& config, const Workload& asked) {
    for (const auto& named : config.workloads) {
        if (belongs(asked, named)) {
            return true;
        }
    }
    return false;
}

}  // namespace

json Agent::explain(const Request& request) {
    Address source{request.source}, destination{request.destination};
    bool client = session_ && session_->is_own(source);
    bool server = session_ && session_->is_own(destination);
    if (session_ && !client && !server) {
        return error_answer(
            fmt::format("neither {} nor {} is an address of this guest that others "
                        "can reach: ask at one of the two ends",
                        to_string(source), to_string(destination)));
    }

    Connection connection;
    connection.way = server && !client ? Direction::in : Direction::out;
    connection.port = request.port;
    connection.peer = connection.way == Direction::in ? request.source : request.destination;
    if (request.workload) {
        connection.is_of = [&asked = *request.workload](const Workload& named) {
            return belongs(asked, named);
        };
    }
    auto explanation = smc_steer::explain(policy_, connection);

    json steps = json::array();
    steps.push_back(step("agent", session_ != nullptr, session_ ? "active" : "idle: " + reason_));
    if (request.workload && request.workload->kind == WorkloadKind::cgroup) {
        bool steered = is_steered(config_, *request.workload);
        steps.push_back(step("workload", steered,
                             steered ? "its sockets are steered"
                                     : "not among the workloads that agent.yaml has steered"));
    }
    steps.push_back(step("rules", explanation.action == Action::allow, why(explanation, policy_)));
    if (client && server) {
        steps.push_back(step("peer", false, "both ends are this guest"));
    } else if (session_) {
        for (auto& more : session_->explain_peer(Address{connection.peer})) {
            steps.push_back(std::move(more));
        }
        if (connection.way == Direction::out) {
            auto lengths = session_->explain_lengths(destination, request.port);
            if (!lengths.is_null()) {
                steps.push_back(std::move(lengths));
            }
        }
    }
    const json* obstacle = nullptr;
    for (const auto& each : steps) {
        if (!each["ok"].get<bool>()) {
            obstacle = &each;
            break;
        }
    }
    return {
        {"ok", true},
        {"end", !session_                         ? "unknown"
                : connection.way == Direction::in ? "server"
                                                  : "client"},
        {"direction", to_string(connection.way)},
        {"verdict", obstacle ? "TCP" : "SMC-D"},
        {"because", obstacle ? fmt::format("{}: {}", (*obstacle)["what"].get<std::string>(),
                                           (*obstacle)["text"].get<std::string>())
                             : why(explanation, policy_)},
        {"rule", explanation.rule ? rule_json(*explanation.rule) : json()},
        {"default", to_string(policy_.default_action)},
        {"steps", std::move(steps)},
    };
}

}  // namespace smc_steer
