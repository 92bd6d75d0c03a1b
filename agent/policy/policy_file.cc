// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/policy_file.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "agent/policy/yaml.h"

namespace smc_steer {
namespace {

Result<Action> parse_action(const YAML::Node& node, const std::string& name, std::string_view key) {
    auto text = yaml_string(node, name, key);
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (*text == "allow") {
        return Action::allow;
    }
    if (*text == "deny") {
        return Action::deny;
    }
    return yaml_error(node, name, fmt::format("{}: must be allow or deny, not '{}'", key, *text));
}

Result<PortRange> parse_ports_entry(const YAML::Node& node, const std::string& name) {
    auto text = yaml_string(node, name, "ports");
    if (!text) {
        return tl::unexpected(text.error());
    }
    auto range = parse_port_range(*text);
    if (!range) {
        return yaml_error(node, name, "ports: " + range.error().message);
    }
    return *range;
}

Result<std::vector<PortRange>> parse_ports(const YAML::Node& node, const std::string& name) {
    std::vector<PortRange> ports;
    if (!node.IsSequence()) {
        auto range = parse_ports_entry(node, name);
        if (!range) {
            return tl::unexpected(range.error());
        }
        ports.push_back(*range);
        return ports;
    }
    for (const auto& entry : node) {
        auto range = parse_ports_entry(entry, name);
        if (!range) {
            return tl::unexpected(range.error());
        }
        ports.push_back(*range);
    }
    if (ports.empty()) {
        return yaml_error(node, name, "ports: the list is empty");
    }
    return ports;
}

Result<Rule> parse_rule(const YAML::Node& node, const std::string& name) {
    if (!node.IsMap()) {
        return yaml_error(node, name, "rules: each rule is a map with action and ports");
    }
    if (auto known = yaml_known_keys(node, name, {"action", "ports", "comment"}); !known) {
        return tl::unexpected(known.error());
    }

    Rule rule;
    rule.origin = {name, yaml_line(node)};
    for (const char* key : {"action", "ports"}) {
        if (!node[key]) {
            return yaml_error(node, name, fmt::format("rule without '{}'", key));
        }
    }

    auto action = parse_action(node["action"], name, "action");
    if (!action) {
        return tl::unexpected(action.error());
    }
    rule.action = *action;

    auto ports = parse_ports(node["ports"], name);
    if (!ports) {
        return tl::unexpected(ports.error());
    }
    rule.ports = std::move(*ports);

    if (auto comment = node["comment"]) {
        auto text = yaml_string(comment, name, "comment");
        if (!text) {
            return tl::unexpected(text.error());
        }
        rule.comment = *text;
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
        auto action = parse_action(node, name, "default");
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
        out << YAML::Key << "ports" << YAML::Value << YAML::Flow << YAML::BeginSeq;
        for (const auto& range : rule.ports) {
            out << to_string(range);
        }
        out << YAML::EndSeq;
        if (!rule.comment.empty()) {
            out << YAML::Key << "comment" << YAML::Value << YAML::DoubleQuoted << rule.comment;
        }
        out << YAML::EndMap;
    }
    out << YAML::EndSeq << YAML::EndMap;
    return fmt::format("# Written by smc-policy allow, deny and remove.\n{}\n", out.c_str());
}

Result<Policy> merge(const std::optional<NamedPolicyFile>& main_file,
                     const std::vector<NamedPolicyFile>& drop_ins) {
    Policy policy = builtin_policy();
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
