// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/render_policy.h"

#include <fmt/format.h>

#include <map>

#include "agent/cli/render.h"
#include "agent/daemon/answer.h"

namespace smc_steer {
namespace {

using nlohmann::json;

json list_of(const json& object, const char* name) {
    auto entry = object.is_object() ? object.find(name) : object.end();
    return entry != object.end() && entry->is_array() ? *entry : json::array();
}

std::string place_of(const json& rule) {
    auto line = rule.is_object() ? rule.value("line", 0) : 0;
    return line ? fmt::format("{}:{}", text_of(rule, "file"), line) : text_of(rule, "file");
}

}  // namespace

std::string render_explain(const json& answer) {
    std::string text =
        fmt::format("{}: {}\n", text_of(answer, "verdict"), text_of(answer, "because"));
    std::vector<std::vector<std::string>> rows;
    for (const auto& step : list_of(answer, "steps")) {
        auto good = step.is_object() && step.contains("ok") && step["ok"] == true;
        rows.push_back({"  " + text_of(step, "what"), good ? "yes" : "no", text_of(step, "text")});
    }
    text += render_table(rows);
    auto end = text_of(answer, "end");
    if (end == "client" || end == "server") {
        text += fmt::format(
            "This guest is the {}. The other end decides for itself too: ask there as well.\n",
            end);
    }
    return text;
}

json rule_changes(const json& in_force, const json& wanted) {
    json changes = {
        {"default", json::array()}, {"removed", json::array()}, {"added", json::array()}};
    if (text_of(in_force, "default") != text_of(wanted, "default")) {
        changes["default"] = {text_of(in_force, "default"), text_of(wanted, "default")};
    }
    // Equal rules may be there several times.
    std::map<std::string, int> there;
    auto old_rules = list_of(in_force, "rules"), new_rules = list_of(wanted, "rules");
    for (const auto& rule : new_rules) {
        there[text_of(rule, "text")]++;
    }
    for (const auto& rule : old_rules) {
        if (--there[text_of(rule, "text")] < 0) {
            changes["removed"].push_back(rule);
        }
    }
    there.clear();
    for (const auto& rule : old_rules) {
        there[text_of(rule, "text")]++;
    }
    for (const auto& rule : new_rules) {
        if (--there[text_of(rule, "text")] < 0) {
            changes["added"].push_back(rule);
        }
    }
    return changes;
}

std::string render_changes(const json& changes) {
    std::string text;
    if (auto both = list_of(changes, "default"); both.size() == 2) {
        text += fmt::format("- default {}\n+ default {}\n", both[0].get<std::string>(),
                            both[1].get<std::string>());
    }
    for (const auto& [name, sign] : {std::pair{"removed", '-'}, std::pair{"added", '+'}}) {
        for (const auto& rule : list_of(changes, name)) {
            text += fmt::format("{} {} ({})\n", sign, text_of(rule, "text"), place_of(rule));
        }
    }
    return text.empty() ? "no difference\n" : text;
}

}  // namespace smc_steer
