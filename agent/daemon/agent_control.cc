// SPDX-License-Identifier: Apache-2.0
// The agent's answers on the control socket.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/base/clock.h"
#include "agent/base/host.h"
#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/daemon/agent.h"
#include "agent/daemon/decision_json.h"
#include "agent/daemon/metrics.h"
#include "agent/daemon/rule_json.h"
#include "agent/daemon/status_page.h"
#include "agent/policy/edit.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {

using nlohmann::json;

ControlServer::Answer Agent::handle(std::string_view line, const Caller& caller) {
    auto request = parse_request(line);
    if (!request) {
        return {to_line(error_answer(request.error().message)), true};
    }
    if (is_write(request->command) && !access_.may_write(caller)) {
        return {to_line(error_answer("you may read, not change: see 'control' in agent.yaml")),
                false};
    }
    // A group may change rules; which program runs with root's rights is root's.
    if (request->command == Command::upgrade && !access_.is_owner(caller)) {
        return {to_line(error_answer("only root may upgrade smc-agent")), false};
    }
    if (request->command == Command::monitor) {
        auto reply = monitor();
        return {to_line(reply), false, reply["ok"] == true};
    }
    return {to_line(answer(*request)), false};
}

json Agent::answer(const Request& request) {
    switch (request.command) {
        case Command::status:
            return status();
        case Command::rules:
            return rules();
        case Command::peers:
            return {{"ok", true}, {"peers", session_ ? session_->report_peers() : json::array()}};
        case Command::pods:
            return {{"ok", true}, {"pods", session_ ? session_->report_pods() : json::array()}};
        case Command::endpoints:
            return {{"ok", true},
                    {"endpoints", session_ ? session_->report_endpoints() : json::array()}};
        case Command::reasons:
            if (session_) {
                session_->refresh_totals();
            }
            return {{"ok", true},
                    {"reasons", session_ ? session_->report_reasons() : json::array()}};
        case Command::monitor:  // handle() has answered
            break;
        case Command::flows: {
            json out = {{"flows", json::array()}, {"totals", {{"smcd", 0}, {"tcp", 0}}}};
            if (session_) {
                auto flows = session_->report_flows();
                if (!flows) {
                    return error_answer(flows.error().message);
                }
                out = std::move(*flows);
            }
            out["ok"] = true;
            return out;
        }
        case Command::allow:
        case Command::deny:
            return edit(request);
        case Command::remove:
            return remove(request.number);
        case Command::apply:
            return apply();
        case Command::explain:
            return explain(request);
        case Command::upgrade:
            return upgrade(request.binary);
    }
    return error_answer("request: not handled");
}

json Agent::monitor() {
    if (!session_) {
        return error_answer("idle: " + reason_);
    }
    auto listening = session_->listen(
        [this](const steer_decision& decision) {
            control_->broadcast(to_line(decision_json(decision, policy_)));
        },
        [this](const json& pod) { control_->broadcast(to_line(pod)); });
    return listening ? json{{"ok", true}} : error_answer(listening.error().message);
}

json Agent::report_process() const {
    std::error_code ignored;
    std::ptrdiff_t descriptors = 0;
    for (std::filesystem::directory_iterator it("/proc/self/fd", ignored), end; it != end;
         it.increment(ignored)) {
        descriptors++;
    }
    std::uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;
    return {
        {"start_time", start_time_},
        {"descriptors", descriptors},
        {"resident_bytes", pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE))},
        {"upgrades", upgrades_},
    };
}

HttpAnswer Agent::http(const HttpRequest& request) {
    auto path = request.path;
    if (path == "/metrics") {
        auto all = status();  // counts anew, for the reasons too
        json reasons = {{"reasons", session_ ? session_->report_reasons() : json()}};
        return {200, render_metrics(all, reasons,
                                    session_ ? session_->report_programs() : json::array())};
    }
    if (path == "/healthz") {
        return {200, "ok\n"};
    }
    if (path == "/readyz") {
        return session_ ? HttpAnswer{200, "active\n"} : HttpAnswer{503, "idle: " + reason_ + "\n"};
    }
    if (config_.status_page) {
        return page(request);
    }
    return {404, "see /metrics, /healthz, /readyz\n"};
}

HttpAnswer Agent::page(const HttpRequest& request) {
    if (!is_own_host(request.host, host_name())) {
        return {403, "ask for this machine by its address, its host name or as localhost\n"};
    }
    if (request.path == "/") {
        return page_html(view());
    }
    if (request.path == "/status.json") {
        return page_json(view());
    }
    if (const auto* file = page_file(request.path)) {
        return *file;
    }
    return {404, "see /, /metrics, /healthz, /readyz\n"};
}

// However many look at it, the kernel is asked once a second at most.
const json& Agent::view() {
    constexpr std::uint64_t kFreshNs = 1'000'000'000;
    auto now = monotonic_ns();
    if (!view_.is_null() && now < view_ns_ + kFreshNs) {
        return view_;
    }
    PageFacts facts{host_name(), status(), json::array(), json::object(), json::array()};
    if (session_) {
        facts.peers = session_->report_peers();
        facts.reasons = session_->report_reasons();
        if (auto flows = session_->report_flows()) {
            facts.flows = std::move(*flows);
        } else {
            facts.status["last_error"] = flows.error().message;
        }
    }
    view_ = page_view(facts, throughput_, now);
    view_ns_ = now;
    return view_;
}

json Agent::status() {
    json out = {
        {"ok", true},
        {"kernel", features_.kernel},
        {"agent", kVersion},
        {"state", session_ ? "active" : "idle"},
        {"reason", session_ ? "" : reason_},
        {"features",
         {{"btf", features_.btf},
          {"smc", features_.smc},
          {"hs_ctrl", features_.hs_ctrl},
          {"fmod_ret", features_.fmod_ret},
          {"cgroup2", features_.cgroup2}}},
        {"trust", {{"smc_bounded", smc_bounded_}, {"region", config_.trust == Trust::region}}},
        {"device", nullptr},
        {"eid", ""},
        {"handshake", ""},
        {"netns", 0},
        {"peers", 0},
        {"same_host_addresses", 0},
        {"counters", json::object()},
        {"connections", {{"smcd", 0}, {"tcp", 0}, {"failed", 0}}},
        {"ivpci", json::object()},
        {"pods", json::object()},
        {"coverage", json::object()},
        {"addresses", json::object()},
        {"rules", policy_.rules.size()},
        {"default", to_string(policy_.default_action)},
        {"last_error", policy_error_},
        {"last_complaint", last_complaint()},
        {"process", report_process()},
    };
    if (session_) {
        session_->refresh_totals();
        session_->report_status(out);
    }
    return out;
}

json Agent::rules() const {
    json list = json::array();
    int number = 0;
    for (const auto& rule : policy_.rules) {
        json entry = rule_json(rule);
        entry["number"] = ++number;
        entry["removable"] = rule.origin.file == policy_paths_.own_file();
        list.push_back(std::move(entry));
    }
    return {
        {"ok", true},
        {"default", to_string(policy_.default_action)},
        {"default_from", to_string(policy_.default_origin)},
        {"main_file", policy_paths_.main_file},
        {"rules", std::move(list)},
        {"last_error", policy_error_},
    };
}

json Agent::apply() {
    reload_policy();
    if (!policy_error_.empty()) {
        return error_answer(policy_error_ + "; the old rules stay in force");
    }
    return {{"ok", true}, {"did", {fmt::format("{} rules in force", policy_.rules.size())}}};
}

json Agent::edit(const Request& request) {
    auto own = load_own_rules(policy_paths_);
    if (!own) {
        return error_answer(own.error().message + "; nothing was changed");
    }
    auto edit = add_rule(*own, request.rule);
    auto answer = put_in_force(edit.rules, edit.did);
    if (answer["ok"] == true) {
        if (auto warning = denied_by_text(policy_, request.rule); !warning.empty()) {
            answer["warning"] = std::move(warning);
        }
    }
    return answer;
}

json Agent::remove(int number) {
    if (number < 1 || static_cast<std::size_t>(number) > policy_.rules.size()) {
        return error_answer(
            fmt::format("there is no rule {}: 'smc-policy rules' shows the {} there are", number,
                        policy_.rules.size()));
    }
    const Rule& rule = policy_.rules[number - 1];
    if (rule.origin.line == 0) {
        return error_answer(fmt::format("rule {} ({}) is built in: it goes when {} says otherwise",
                                        number, to_string(rule), policy_paths_.main_file));
    }
    if (rule.origin.file != policy_paths_.own_file()) {
        return error_answer(fmt::format("rule {} ({}) is from {}: edit it there", number,
                                        to_string(rule), to_string(rule.origin)));
    }
    auto own = load_own_rules(policy_paths_);
    if (!own) {
        return error_answer(own.error().message + "; nothing was changed");
    }
    auto edit = remove_rule(*own, rule);
    if (edit.did.empty()) {
        return error_answer(
            fmt::format("rule {} is not in {} any more", number, policy_paths_.own_file()));
    }
    return put_in_force(edit.rules, edit.did);
}

json Agent::put_in_force(const std::vector<Rule>& own, std::vector<std::string> did) {
    // What will be written is judged first: a file that is refused would keep the next agent from
    // starting.
    auto policy = load_policy_with(policy_paths_, own);
    auto done = policy && session_ ? session_->set_policy(*policy) : Result<void>{};
    if (!policy) {
        done = tl::unexpected(policy.error());
    }
    if (!done) {
        return error_answer(done.error().message + "; nothing was changed");
    }
    if (auto saved = save_own_rules(policy_paths_, own); !saved) {
        reload_policy();  // what the files say
        return error_answer(saved.error().message + "; nothing was changed");
    }
    took_effect(std::move(*policy));
    return {{"ok", true}, {"did", did}};
}

}  // namespace smc_steer
