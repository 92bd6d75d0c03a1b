// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/render.h"

#include <fmt/format.h>

#include <algorithm>

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
    std::string state = member(answer, "state");
    if (auto reason = member(answer, "reason"); !reason.empty()) {
        state += ": " + reason;
    }
    add("state", state);
    add("agent", member(answer, "agent"));
    add("kernel", member(answer, "kernel"));
    if (const auto& device = section(answer, "device"); !device.empty()) {
        const auto& region = section(device, "region");
        add("device",
            fmt::format("{}, slot {} of {}, GID {}", member(device, "path"), member(device, "slot"),
                        member(device, "slots"), member(device, "gid")));
        add("region", fmt::format("{}, {} bytes", member(region, "uuid"), member(region, "size")));
        add("EID", member(answer, "eid"));
    }
    add("network namespaces", member(answer, "netns"));
    add("peers", fmt::format("{} with {} addresses", member(answer, "peers"),
                             member(answer, "same_host_addresses")));
    const auto& connections = section(answer, "connections");
    add("connections", fmt::format("{} SMC-D, {} TCP with guests of this host ({} of them fell "
                                   "back after both ends agreed)",
                                   member(connections, "smcd"), member(connections, "tcp"),
                                   member(connections, "failed")));
    for (const auto& [name, value] : section(answer, "counters").items()) {
        add(("  " + name).c_str(), plain(value));
    }
    if (const auto& ivpci = section(answer, "ivpci"); !ivpci.empty()) {
        add("ivpci", "");
        for (const auto& [name, value] : ivpci.items()) {
            add(("  " + name).c_str(), plain(value));
        }
    }
    if (auto error = member(answer, "last_error"); !error.empty()) {
        add("last error", error);
    }
    return render_table(rows);
}

std::string render_peers(const json& answer) {
    const auto& peers = section(answer, "peers");
    if (peers.empty()) {
        return "no other guest is in this region\n";
    }
    Rows rows{{"SLOT", "GEN", "GID", "STATE", "NAME", "AGENT", "LINK", "ADDRESSES"}};
    for (const auto& peer : peers) {
        auto agent = member(peer, "agent");
        auto problem = member(peer, "link_problem");
        rows.push_back({member(peer, "slot"), member(peer, "generation"), member(peer, "gid"),
                        member(peer, "state"), member(peer, "name"), agent.empty() ? "-" : agent,
                        problem.empty() ? member(peer, "link") : problem,
                        joined(section(peer, "addresses"), " ")});
    }
    return render_table(rows);
}

std::string render_rules(const json& answer) {
    Rows rows{{"NUMBER", "ACTION", "WAY", "PORTS", "PEERS", "WORKLOAD", "FROM", "COMMENT"}};
    auto all_if_none = [](std::string text) { return text.empty() ? std::string("all") : text; };
    for (const auto& rule : section(answer, "rules")) {
        std::string from = member(rule, "file");
        if (auto line = member(rule, "line"); line != "0") {
            from += ":" + line;
        }
        rows.push_back({member(rule, "number"), member(rule, "action"), member(rule, "direction"),
                        all_if_none(joined(section(rule, "ports"), ",")),
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

std::string render_flows(const json& answer) {
    Rows rows{{"MODE", "LOCAL", "PEER", "UID", "INODE", "NETNS", "WHY TCP"}};
    for (const auto& flow : section(answer, "flows")) {
        std::string why = member(flow, "reason");
        if (auto text = member(flow, "reason_text"); !text.empty()) {
            why += " " + text;
        }
        rows.push_back({member(flow, "mode"), member(flow, "local"), member(flow, "peer"),
                        member(flow, "uid"), member(flow, "inode"), member(flow, "netns"), why});
    }
    const auto& totals = section(answer, "totals");
    return render_table(rows) +
           fmt::format("{} SMC-D, {} TCP\n", member(totals, "smcd"), member(totals, "tcp"));
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
