// SPDX-License-Identifier: Apache-2.0
// smc-policy explain: what will become of a connection, in the order in which it is decided.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

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

// Who is asked about, with what is known of them on this machine.
struct Asked {
    Workload workload;
    std::optional<Pod> pod{};
    std::vector<std::string> cgroups{};  // all of them count
    bool there = false;                  // a control group of these exists
};

Asked resolve(const Workload& workload, const Machine& machine) {
    Asked asked{workload};
    auto found = find_pod_cgroups(machine.pods, machine.cgroups);
    if (workload.kind == WorkloadKind::cgroup) {
        asked.cgroups.push_back(workload.value);
        if (const auto* pod = pod_of_cgroup(machine.pods, found, workload.value)) {
            asked.pod = *pod;
        }
        asked.there = std::any_of(
            machine.cgroups.begin(), machine.cgroups.end(),
            [&workload](const CgroupEntry& entry) { return entry.path == workload.value; });
    }
    if (workload.kind != WorkloadKind::pod) {
        return asked;
    }
    for (std::size_t i = 0; i < machine.pods.size() && !asked.pod; i++) {
        if (!names_pod(workload, machine.pods[i])) {
            continue;
        }
        asked.pod = machine.pods[i];
        for (const auto& [path, pod] : found) {
            if (pod == i) {
                asked.cgroups.push_back(path);
                asked.there = true;
            }
        }
    }
    if (!asked.pod) {
        // Not here now: its name is all that is known.
        auto slash = workload.value.find('/');
        asked.pod = Pod{};
        asked.pod->space = workload.value.substr(0, slash);
        asked.pod->name = workload.value.substr(slash + 1);
    }
    return asked;
}

// Does somebody of `asked` also belong to `named`, as far as the two can tell.
bool belongs(const Asked& asked, const Workload& named) {
    if (asked.workload == named) {
        return true;
    }
    if (named.is_pod()) {
        return asked.pod && names_pod(named, *asked.pod);
    }
    return std::any_of(asked.cgroups.begin(), asked.cgroups.end(),
                       [&named](const std::string& path) { return is_around(named, path); });
}

std::string why(const Explanation& explanation, const Policy& policy) {
    if (!explanation.rule) {
        return fmt::format("no rule is about it, the default is {} ({})",
                           to_string(policy.default_action), to_string(policy.default_origin));
    }
    const auto& comment = explanation.rule->comment;
    return to_string(explanation) + (comment.empty() ? "" : ": " + comment);
}

json workload_step(const Config& config, const Session* session, const Asked& asked) {
    bool steered = false;
    if (session && asked.there) {
        for (const auto& path : asked.cgroups) {
            steered = steered || is_steered(session->steering(), path);
        }
    } else {
        steered = std::any_of(config.workloads.begin(), config.workloads.end(),
                              [&asked](const Workload& named) { return belongs(asked, named); });
    }
    bool pod = asked.pod && (asked.pod->accelerate || !config.pods);
    if (asked.workload.kind == WorkloadKind::pod && !asked.there) {
        return step("workload", steered,
                    fmt::format("no pod {} with a control group is known", asked.workload.value));
    }
    if (pod && asked.pod->accelerate) {
        return step("workload", steered,
                    fmt::format("pod {} is annotated {}: {}", to_string(*asked.pod),
                                kAccelerateAnnotation, *asked.pod->accelerate));
    }
    if (pod && !steered) {
        return step("workload", false,
                    fmt::format("pods: default is off in agent.yaml, and pod {} has no "
                                "annotation {}",
                                to_string(*asked.pod), kAccelerateAnnotation));
    }
    return step("workload", steered,
                steered ? "its sockets are steered"
                        : "not among the workloads that agent.yaml has steered");
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
    std::optional<Asked> asked;
    if (request.workload) {
        asked = resolve(*request.workload, session_ ? session_->machine() : Machine{});
        connection.is_of = [&asked](const Workload& named) { return belongs(*asked, named); };
    }
    // Those that a session would have now.
    auto paths = session_ ? session_->paths() : choose_paths(config_);
    bool direct = paths.only_direct();
    auto explanation = smc_steer::explain(policy_, connection, direct ? Via::direct : Via::smc);
    // With both paths the direct one serves what the rules keep from SMC.
    bool both = paths.smc && (session_ ? session_->has_direct() : paths.direct);
    bool kept = both && explanation.rule && explanation.rule->via == Via::direct;
    bool is_tcp_socket = kept && explanation.rule->is_about_sockets();
    if (kept) {
        direct = true;
        explanation = smc_steer::explain(policy_, connection, Via::direct);
    }

    json steps = json::array();
    auto add = [&steps](json one) {
        if (!one.is_null()) {
            steps.push_back(std::move(one));
        }
    };
    steps.push_back(step("agent", session_ != nullptr, session_ ? "active" : "idle: " + reason_));
    if (asked && (asked->workload.kind == WorkloadKind::cgroup || asked->pod)) {
        steps.push_back(workload_step(config_, session_.get(), *asked));
    }
    steps.push_back(step("rules", explanation.action == Action::allow, why(explanation, policy_)));
    if (kept && !is_tcp_socket) {
        steps.push_back(step("socket", false,
                             "it is SMC's before anybody knows its port: 'via: direct' with the "
                             "workload alone leaves it TCP's"));
    }
    if (client && server) {
        steps.push_back(step("peer", false, "both ends are this guest"));
    } else if (session_) {
        for (auto& more :
             session_->explain_peer(Address{connection.peer}, direct ? Via::direct : Via::smc)) {
            steps.push_back(std::move(more));
        }
        if (connection.way == Direction::out && !direct) {
            add(session_->explain_lengths(destination, request.port));
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
        {"verdict", obstacle ? "TCP"
                    : direct ? "direct"
                             : "SMC-D"},
        {"because", obstacle ? fmt::format("{}: {}", (*obstacle)["what"].get<std::string>(),
                                           (*obstacle)["text"].get<std::string>())
                             : why(explanation, policy_)},
        {"rule", explanation.rule ? rule_json(*explanation.rule) : json()},
        {"default", to_string(policy_.default_action)},
        {"steps", std::move(steps)},
    };
}

}  // namespace smc_steer
