// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/yaml.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "agent/base/text.h"

namespace smc_steer {

Result<YAML::Node> yaml_load(std::string_view text, const std::string& name) {
    try {
        auto node = YAML::Load(std::string(text));
        if (node.IsNull()) {
            return YAML::Node(YAML::NodeType::Map);
        }
        return node;
    } catch (const YAML::ParserException& e) {
        return fail("{}:{}: not YAML: {}", name, e.mark.line + 1, one_line(e.msg));
    } catch (const YAML::Exception& e) {
        return fail("{}: not YAML: {}", name, one_line(e.what()));
    }
}

int yaml_line(const YAML::Node& node) {
    // An empty file's root has no place: call it the first line.
    return node.Mark().is_null() ? 1 : node.Mark().line + 1;
}

tl::unexpected<Error> yaml_error(const YAML::Node& node, const std::string& name,
                                 const std::string& what) {
    return fail("{}:{}: {}", name, yaml_line(node), one_line(what));
}

Result<void> yaml_known_keys(const YAML::Node& map, const std::string& name,
                             std::initializer_list<std::string_view> keys) {
    std::set<std::string> seen;
    for (const auto& entry : map) {
        if (!entry.first.IsScalar()) {
            return yaml_error(entry.first, name, "a key must be a word");
        }
        const auto& key = entry.first.Scalar();
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
            return yaml_error(
                entry.first, name,
                fmt::format("{}: unknown key; known here: {}", key, fmt::join(keys, ", ")));
        }
        if (!seen.insert(key).second) {
            return yaml_error(entry.first, name, fmt::format("{}: written twice", key));
        }
    }
    return {};
}

std::optional<YAML::Node> yaml_key(const YAML::Node& map, std::string_view key) {
    for (const auto& entry : map) {
        if (entry.first.IsScalar() && entry.first.Scalar() == key) {
            return entry.first;
        }
    }
    return std::nullopt;
}

Result<std::string> yaml_string(const YAML::Node& node, const std::string& name,
                                std::string_view key) {
    if (!node.IsScalar()) {
        return yaml_error(node, name, fmt::format("{}: must be a single value", key));
    }
    return node.Scalar();
}

Result<std::vector<std::string>> yaml_strings(const YAML::Node& node, const std::string& name,
                                              std::string_view key) {
    if (!node.IsSequence()) {
        return yaml_error(node, name, fmt::format("{}: must be a list", key));
    }
    std::vector<std::string> values;
    for (const auto& entry : node) {
        auto value = yaml_string(entry, name, key);
        if (!value) {
            return tl::unexpected(value.error());
        }
        values.push_back(std::move(*value));
    }
    return values;
}

}  // namespace smc_steer
