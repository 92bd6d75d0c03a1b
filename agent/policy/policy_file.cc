// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/policy_file.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "agent/policy/yaml.h"

namespace smc_steer {
namespace {

constexpr const char* kAdoptIsGone =
    "adopt: gone: the direct path serves what it was for, see OPERATIONS.md, \"Which path\"";

Result<Action> read_action(const YAML::Node& node, const std::string& name, std::string_view key) {
    auto text = yaml_string(node, name, key);
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (auto action = parse_action(*text)) {
        return *action;
    }
    return yaml_error(node, name, fmt::format("{}: must be allow or deny, not '{}'", key, *text));
}

// One entry or a list of them, each read by `parse`. No such key: none.
template <typename T>
Result<std::vector<T>> read_entries(const YAML::Node& rule, const std::string& name,
                                    const char* key, Result<T> (*parse)(std::string_view)) {
    std::vector<T> entries;
    auto node = rule[key];
    if (!node) {
        return entries;
    }
    auto read = [&](const YAML::Node& entry) -> Result<void> {
        auto text = yaml_string(entry, name, key);
        if (!text) {
            return tl::unexpected(text.error());
        }
        auto value = parse(*text);
        if (!value) {
            return yaml_error(entry, name, fmt::format("{}: {}", key, value.error().message));
        }
        entries.push_back(std::move(*value));
        return {};
    };
    if (!node.IsSequence()) {
        if (auto done = read(node); !done) {
            return tl::unexpected(done.error());
        }
        return entries;
    }
    for (const auto& entry : node) {
        if (auto done = read(entry); !done) {
            return tl::unexpected(done.error());
        }
    }
    if (entries.empty()) {
        return yaml_error(node, name, fmt::format("{}: the list is empty", key));
    }
    return entries;
}

Result<Workload> read_workload(const YAML::Node& node, const std::string& name) {
    std::vector<std::string_view> kinds;
    kinds.reserve(std::size(kWorkloadKinds));
    for (const auto& [kind_name, kind] : kWorkloadKinds) {
        kinds.push_back(kind_name);
    }
    if (!node.IsMap() || node.size() != 1) {
        return yaml_error(
            node, name,
            fmt::format("workload: must be a map with one of {}", fmt::join(kinds, ", ")));
    }
    const auto& entry = *node.begin();
    auto found = std::find_if(kWorkloadKinds.begin(), kWorkloadKinds.end(), [&](const auto& known) {
        return entry.first.IsScalar() && entry.first.Scalar() == known.first;
    });
    if (found == kWorkloadKinds.end()) {
        return yaml_error(
            entry.first, name,
            fmt::format("workload: unknown key; known here: {}", fmt::join(kinds, ", ")));
    }
    std::string key = fmt::format("workload: {}", found->first);
    auto text = yaml_string(entry.second, name, key);
    if (!text) {
        return tl::unexpected(text.error());
    }
    auto workload = make_workload(found->second, *text);
    if (!workload) {
        return yaml_error(entry.second, name, fmt::format("{}: {}", key, workload.error().message));
    }
    return workload;
}

Result<void> read_optional(const YAML::Node& node, const std::string& name, Rule& rule) {
    if (auto comment = node["comment"]) {
        auto text = yaml_string(comment, name, "comment");
        if (!text) {
            return tl::unexpected(text.error());
        }
        rule.comment = *text;
    }
    if (auto direction = node["direction"]) {
        auto text = yaml_string(direction, name, "direction");
        if (!text) {
            return tl::unexpected(text.error());
        }
        auto way = parse_direction(*text);
        if (!way) {
            return yaml_error(direction, name,
                              fmt::format("direction: must be out, in or both, not '{}'", *text));
        }
        rule.direction = *way;
    }
    if (auto via = node["via"]) {
        auto text = yaml_string(via, name, "via");
        if (!text) {
            return tl::unexpected(text.error());
        }
        rule.via = parse_via(*text);
        if (!rule.via) {
            return yaml_error(via, name,
                              fmt::format("via: must be smc or direct, not '{}'", *text));
        }
    }
    if (auto node_of_workload = node["workload"]) {
        auto workload = read_workload(node_of_workload, name);
        if (!workload) {
            return tl::unexpected(workload.error());
        }
        rule.workload = std::move(*workload);
    }
    return {};
}

Result<Rule> parse_rule(const YAML::Node& node, const std::string& name) {
    if (!node.IsMap()) {
        return yaml_error(node, name, "rules: each rule is a map with action and ports");
    }
    if (auto adopt = yaml_key(node, "adopt")) {
        return yaml_error(*adopt, name, kAdoptIsGone);
    }
    if (auto known = yaml_known_keys(
            node, name, {"action", "direction", "ports", "peers", "workload", "via", "comment"});
        !known) {
        return tl::unexpected(known.error());
    }

    Rule rule;
    rule.origin = {name, yaml_line(node)};
    if (!node["action"]) {
        return yaml_error(node, name, "rule without 'action'");
    }
    auto action = read_action(node["action"], name, "action");
    if (!action) {
        return tl::unexpected(action.error());
    }
    rule.action = *action;

    auto ports = read_entries<PortRange>(node, name, "ports", parse_port_range);
    if (!ports) {
        return tl::unexpected(ports.error());
    }
    rule.ports = std::move(*ports);
    auto peers = read_entries<Cidr>(node, name, "peers", parse_cidr);
    if (!peers) {
        return tl::unexpected(peers.error());
    }
    rule.peers = std::move(*peers);
    if (auto done = read_optional(node, name, rule); !done) {
        return tl::unexpected(done.error());
    }
    if (auto good = check_rule(rule); !good) {
        return yaml_error(node, name, good.error().message);
    }
    return rule;
}

Result<PolicyFile> parse_root(const YAML::Node& root, const std::string& name) {
    if (!root.IsMap()) {
        return yaml_error(root, name, "a policy is a map; it starts with 'version: 1'");
    }
    if (auto known = yaml_known_keys(root, name, {"version", "default", "rules"}); !known) {
        return tl::unexpected(known.error());
    }
    if (!root["version"]) {
        return yaml_error(root, name, "version: missing; write 'version: 1'");
    }

    auto version = yaml_string(root["version"], name, "version");
    if (!version) {
        return tl::unexpected(version.error());
    }
    if (*version != "1") {
        return yaml_error(
            root["version"], name,
            fmt::format("version: {} is not known; this agent reads version 1", *version));
    }

    PolicyFile file;
    if (auto node = root["default"]) {
        auto action = read_action(node, name, "default");
        if (!action) {
            return tl::unexpected(action.error());
        }
        file.default_action = *action;
        file.default_line = yaml_line(node);
    }
    auto rules = root["rules"];
    if (!rules || rules.IsNull()) {
        return file;
    }
    if (!rules.IsSequence()) {
        return yaml_error(rules, name, "rules: must be a list");
    }
    for (const auto& node : rules) {
        auto rule = parse_rule(node, name);
        if (!rule) {
            return tl::unexpected(rule.error());
        }
        file.rules.push_back(std::move(*rule));
    }
    return file;
}

template <typename T>
void emit_list(YAML::Emitter& out, const char* key, const std::vector<T>& list) {
    if (list.empty()) {
        return;
    }
    out << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
    for (const auto& entry : list) {
        out << to_string(entry);
    }
    out << YAML::EndSeq;
}

}  // namespace

Result<PolicyFile> parse_policy_file(std::string_view text, const std::string& name) {
    auto root = yaml_load(text, name);
    if (!root) {
        return tl::unexpected(root.error());
    }
    return parse_root(*root, name);
}

std::string format_policy_file(const std::vector<Rule>& rules) {
    YAML::Emitter out;
    out << YAML::BeginMap << YAML::Key << "version" << YAML::Value << 1;
    out << YAML::Key << "rules" << YAML::Value << YAML::BeginSeq;
    for (const auto& rule : rules) {
        out << YAML::BeginMap;
        out << YAML::Key << "action" << YAML::Value << std::string(to_string(rule.action));
        if (rule.direction != Direction::both) {
            out << YAML::Key << "direction" << YAML::Value
                << std::string(to_string(rule.direction));
        }
        emit_list(out, "ports", rule.ports);
        emit_list(out, "peers", rule.peers);
        if (rule.workload) {
            out << YAML::Key << "workload" << YAML::Value << YAML::Flow << YAML::BeginMap
                << YAML::Key << std::string(to_string(rule.workload->kind)) << YAML::Value
                << YAML::DoubleQuoted << rule.workload->value << YAML::EndMap;
        }
        if (rule.via) {
            out << YAML::Key << "via" << YAML::Value << std::string(to_string(*rule.via));
        }
        if (!rule.comment.empty()) {
            out << YAML::Key << "comment" << YAML::Value << YAML::DoubleQuoted << rule.comment;
        }
        out << YAML::EndMap;
    }
    out << YAML::EndSeq << YAML::EndMap;
    return fmt::format("# Written by smc-policy allow, deny and remove.\n{}\n", out.c_str());
}

Result<Policy> merge(const std::optional<NamedPolicyFile>& main_file,
                     const std::vector<NamedPolicyFile>& drop_ins, const Policy& otherwise) {
    Policy policy = otherwise;
    if (main_file) {
        policy.default_action = main_file->file.default_action.value_or(policy.default_action);
        policy.default_origin = {main_file->name, main_file->file.default_line};
        policy.rules = main_file->file.rules;
    }
    for (const auto& [name, file] : drop_ins) {
        if (file.default_action) {
            return fail(
                "{}:{}: default: belongs into the main policy file, a drop-in has rules "
                "only",
                name, file.default_line);
        }
        policy.rules.insert(policy.rules.end(), file.rules.begin(), file.rules.end());
    }
    return policy;
}

}  // namespace smc_steer
