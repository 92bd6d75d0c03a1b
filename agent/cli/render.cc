// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/daemon/answer.h"

namespace smc_steer {
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

// A value as people read it: strings without quotes, null as nothing.
std::string plain(const json& value) {
    if (value.is_string()) {
        return value.get<std::string>();
    }
    if (value.is_null()) {
        return "";
    }
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string member(const json& object, const char* name) {
    auto entry = object.find(name);
    return entry == object.end() ? "" : plain(*entry);
}

std::string joined(const json& list, const char* separator) {
    std::string text;
    for (const auto& entry : list) {
        text += (text.empty() ? "" : separator) + plain(entry);
    }
    return text;
}

const json& section(const json& object, const char* name) {
    static const json empty = json::object();
    auto entry = object.find(name);
    return entry != object.end() && entry->is_structured() ? *entry : empty;
}

}  // namespace

std::string render_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        if (widths.size() < row.size()) {
            widths.resize(row.size());
        }
        for (std::size_t i = 0; i < row.size(); i++) {
            widths[i] = std::max(widths[i], row[i].size());
        }
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); i++) {
            line += fmt::format("{:<{}}", row[i], widths[i] + 2);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

std::string render_status(const json& answer) {
    Rows rows;
    auto add = [&](const char* name, std::string value) {
        rows.push_back({name, std::move(value)});
    };
    auto add_complaints = [&] {
        add("last complaint", member(answer, "last_complaint"));
        if (auto error = member(answer, "last_error"); !error.empty()) {
            add("last error", error);
        }
    };
    std::string state = member(answer, "state");
    if (auto reason = member(answer, "reason"); !reason.empty()) {
        state += ": " + reason;
    }
    add("state", state);
    add("agent", member(answer, "agent"));
    std::string missing;
    for (const auto& [name, there] : section(answer, "features").items()) {
        if (there == false) {
            missing += (missing.empty() ? ", without " : " ") + name;
        }
    }
    add("kernel", member(answer, "kernel") + missing);
    if (const auto& trust = section(answer, "trust"); !trust.empty()) {
        add("shared memory", trust.value("smc_bounded", false) ? "bounded by the kernel"
                             : trust.value("region", false)
                                 ? "not bounded by the kernel, the region is trusted"
                                 : "not bounded by the kernel, 'trust: region' is not set");
    }
    const auto& ivpci = section(answer, "ivpci");
    if (const auto& device = section(answer, "device"); !device.empty()) {
        const auto& region = section(device, "region");
        std::uint64_t refused = 0;
        for (const auto& [name, count] : ivpci.items()) {
            refused += name.starts_with("refused_") ? number_of(ivpci, name) : 0;
        }
        add("device",
            fmt::format("{}, slot {} of {}, GID {}", member(device, "path"), member(device, "slot"),
                        member(device, "slots"), member(device, "gid")));
        add("region", fmt::format("{}, {}; {} in {} buffers of ours, {} refused",
                                  member(region, "uuid"), human_bytes(number_of(region, "size")),
                                  human_bytes(number_of(ivpci, "dmb_bytes")), member(ivpci, "dmbs"),
                                  refused));
        add("notifications",
            fmt::format(
                "{} sent, {} of them with a doorbell; {} received; looking found {} and was "
                "given up {} times",
                member(ivpci, "signals_sent"), member(ivpci, "doorbells_sent"),
                member(ivpci, "signals_received"), member(ivpci, "poll_hits"),
                number_of(ivpci, "poll_rests")));
        if (auto eid = member(answer, "eid"); !eid.empty()) {
            add("EID", eid);
        }
    }
    add("network namespaces", member(answer, "netns"));
    add("peers", fmt::format("{} with {} addresses", member(answer, "peers"),
                             member(answer, "same_host_addresses")));
    if (const auto& addresses = section(answer, "addresses"); number_of(addresses, "left_out")) {
        add("addresses",
            fmt::format("{} published, no room for {} more (those stay plain TCP)",
                        member(addresses, "published"), member(addresses, "left_out")));
    }
    if (const auto& pods = section(answer, "pods"); !section(pods, "runtimes").empty()) {
        add("pods",
            fmt::format("{} known, {} steered, default {} ('smc-policy pods')",
                        member(pods, "known"), member(pods, "steered"), member(pods, "default")));
        for (const auto& runtime : section(pods, "runtimes")) {
            auto problem = member(runtime, "problem");
            add("container runtime",
                fmt::format("{} at {}{}", member(runtime, "runtime"), member(runtime, "socket"),
                            problem.empty() ? "" : ": " + problem));
        }
    }
    if (const auto& coverage = section(answer, "coverage"); number_of(coverage, "late")) {
        add("coverage", fmt::format("{} new control groups, the slowest after {:.3f} s",
                                    member(coverage, "late"), coverage.value("max_seconds", 0.0)));
    }
    add("rules", fmt::format("{}, default {}", member(answer, "rules"), member(answer, "default")));
    if (const auto& services = section(answer, "services"); !services.empty()) {
        auto problem = member(services, "problem");
        add("services",
            fmt::format("{} ranges, {}", member(services, "ranges"),
                        !problem.empty() ? "left to TCP: " + problem
                        : services.value("offered", false)
                            ? "offered SMC, guarded on " + member(services, "devices") + " devices"
                            : "left to TCP for the moment"));
    }
    const auto& connections = section(answer, "connections");
    const auto& counters = section(answer, "counters");
    if (const auto& offload = section(answer, "offload"); !offload.empty()) {
        const auto& back = section(offload, "back");
        auto problem = member(offload, "problem");
        add("direct",
            !problem.empty()
                ? "nothing can be moved: " + problem
                : fmt::format(
                      "{} connections moved now, {} in all; {} by rings; back to TCP: {} idle, {} "
                      "denied, {} by the peer, {} for hotter ones, {} for other control groups",
                      member(offload, "connections"), member(offload, "moved"),
                      human_bytes(number_of(offload, "ring_bytes")), member(back, "idle"),
                      member(back, "denied"), member(back, "peer"), member(back, "evicted"),
                      member(back, "share")));
    }
    if (member(answer, "path") == "direct") {
        add_complaints();
        return render_table(rows);
    }
    add("accelerated", fmt::format("{} connections over SMC-D", member(connections, "smcd")));
    add("fell back", fmt::format("{} agreed on SMC and became TCP ('smc-policy reasons')",
                                 member(connections, "failed")));
    add("denied", fmt::format("{} by the rules", number_of(counters, "syn_denied") +
                                                     number_of(counters, "synack_denied")));
    add("too short", fmt::format("{} to endpoints whose connections are ('smc-policy endpoints')",
                                 number_of(counters, "syn_short")));
    add("TCP", fmt::format("{} connections with guests of this host", member(connections, "tcp")));
    add_complaints();
    return render_table(rows);
}

std::string render_status_brief(const json& answer) {
    std::string state = member(answer, "state");
    if (state != "active") {
        return fmt::format("{}: {}\n", state, member(answer, "reason"));
    }
    const auto& connections = section(answer, "connections");
    const auto& counters = section(answer, "counters");
    return fmt::format("active: {} peers, {} accelerated, {} fell back, {} denied, {} TCP{}\n",
                       member(answer, "peers"),
                       number_of(connections, "smcd") + number_of(connections, "direct"),
                       member(connections, "failed"),
                       number_of(counters, "syn_denied") + number_of(counters, "synack_denied"),
                       member(connections, "tcp"),
                       member(answer, "last_error").empty() ? "" : "; rules are wrong");
}

std::string render_reasons(const json& answer) {
    const auto& reasons = section(answer, "reasons");
    if (reasons.empty()) {
        return "no steered socket became TCP since the agent started\n";
    }
    Rows rows{{"COUNT", "SIDE", "CODE", "NAME", "WHY", "WHAT TO DO"}};
    for (const auto& reason : reasons) {
        rows.push_back({member(reason, "count"), member(reason, "side"), member(reason, "code"),
                        member(reason, "name"), member(reason, "text"), member(reason, "remedy")});
    }
    return render_table(rows);
}

std::string render_endpoints(const json& answer) {
    const auto& endpoints = section(answer, "endpoints");
    if (endpoints.empty()) {
        return "no connection of ours to a guest of this host was closed so far\n";
    }
    Rows rows{{"PEER", "PORT", "CLOSED", "SHORT", "MEAN BYTES", "MEAN TIME", "NEXT"}};
    for (const auto& endpoint : endpoints) {
        auto time = endpoint.is_object() ? endpoint.value("mean_seconds", json()) : json();
        bool back = endpoint.is_object() && endpoint.value("stepped_back", json()) == true;
        rows.push_back({member(endpoint, "peer"), member(endpoint, "port"),
                        member(endpoint, "connections"), member(endpoint, "short"),
                        human_bytes(number_of(endpoint, "mean_bytes")),
                        time.is_number() ? fmt::format("{:.3f}s", time.get<double>()) : "-",
                        back ? "TCP: too short" : "SMC-D if the rules allow"});
    }
    return render_table(rows);
}

std::string render_decision(const json& line) {
    if (auto event = member(line, "event"); !event.empty()) {
        auto what = event == "pod_gone"            ? std::string("gone")
                    : line.value("steered", false) ? "steered, by " + member(line, "why")
                                                   : "left alone, by " + member(line, "why");
        return fmt::format("pod     {:<13}  {}\n", member(line, "pod"), what);
    }
    auto rule = member(line, "rule");
    return fmt::format("{}  {:<13}  {} port {}{}{}\n", member(line, "side"),
                       member(line, "decision"), member(line, "peer"), member(line, "port"),
                       rule.empty() ? "" : "  by ", rule);
}

std::string render_peers(const json& answer) {
    const auto& peers = section(answer, "peers");
    if (peers.empty()) {
        return "no other guest is in this region\n";
    }
    Rows rows{{"SLOT", "GEN", "GID", "STATE", "NAME", "AGENT", "LINK", "ADDRESSES"}};
    for (const auto& peer : peers) {
        auto agent = member(peer, "agent");
        // The SMC path's, or the direct path's.
        bool smc = member(peer, "wire") != "up" || member(peer, "link") == "up";
        auto problem = member(peer, smc ? "link_problem" : "wire_problem");
        if (problem.empty() && smc) {
            problem = member(peer, "link") == "up" ? "" : member(peer, "wire_problem");
        }
        rows.push_back({member(peer, "slot"), member(peer, "generation"), member(peer, "gid"),
                        member(peer, "state"), member(peer, "name"), agent.empty() ? "-" : agent,
                        problem.empty() ? member(peer, smc ? "link" : "wire") : problem,
                        joined(section(peer, "addresses"), " ")});
    }
    return render_table(rows);
}

std::string render_rules(const json& answer) {
    Rows rows{{"NUMBER", "ACTION", "WAY", "PORTS", "PEERS", "WORKLOAD", "FROM", "COMMENT"}};
    auto all_if_none = [](const std::string& text) {
        return text.empty() ? std::string("all") : text;
    };
    for (const auto& rule : section(answer, "rules")) {
        std::string from = member(rule, "file");
        if (auto line = member(rule, "line"); line != "0") {
            from += ":" + line;
        }
        auto via = member(rule, "via");
        rows.push_back({member(rule, "number"),
                        member(rule, "action") + (via.empty() ? "" : " via " + via),
                        member(rule, "direction"), all_if_none(joined(section(rule, "ports"), ",")),
                        all_if_none(joined(section(rule, "peers"), ",")),
                        all_if_none(member(rule, "workload")), from, member(rule, "comment")});
    }
    rows.push_back({"default", member(answer, "default"), "", "all other", "", "",
                    member(answer, "default_from")});
    std::string text = render_table(rows);
    if (auto error = member(answer, "last_error"); !error.empty()) {
        text += fmt::format("not in force: {}\n", error);
    }
    return text;
}

std::string render_pods(const json& answer) {
    Rows rows{{"POD", "STEERED", "WHY", "CONTROL GROUPS"}};
    for (const auto& pod : section(answer, "pods")) {
        rows.push_back({member(pod, "namespace") + "/" + member(pod, "name"),
                        pod.value("steered", false) ? "yes" : "no", member(pod, "why"),
                        joined(section(pod, "cgroups"), " ")});
    }
    return render_table(rows);
}

std::string render_flows(const json& answer) {
    Rows rows{{"MODE", "LOCAL", "PEER", "SENT", "RECEIVED", "AGE", "WORKLOAD", "WHY TCP"}};
    for (const auto& flow : section(answer, "flows")) {
        std::string why = member(flow, "reason_text");
        for (const char* name : {"reason", "why_not"}) {
            if (why.empty()) {
                why = member(flow, name);
            }
        }
        auto age = flow.find("age_seconds");
        auto workload = member(flow, "pod");
        if (workload.empty()) {
            workload = member(flow, "workload");
        }
        rows.push_back(
            {member(flow, "mode"), member(flow, "local"), member(flow, "peer"),
             human_bytes(number_of(flow, "bytes_sent")),
             human_bytes(number_of(flow, "bytes_received")),
             age != flow.end() && age->is_number() ? human_time(age->get<double>()) : "-",
             workload.empty() ? "-" : workload, why});
    }
    const auto& totals = section(answer, "totals");
    return render_table(rows) + fmt::format("{} SMC-D, {} direct, {} TCP\n",
                                            number_of(totals, "smcd"), number_of(totals, "direct"),
                                            number_of(totals, "tcp"));
}

std::string render_edit(const json& answer) {
    std::string text;
    for (const auto& did : section(answer, "did")) {
        text += plain(did) + "\n";
    }
    if (auto warning = member(answer, "warning"); !warning.empty()) {
        text += "warning: " + warning + "\n";
    }
    return text;
}

}  // namespace smc_steer
