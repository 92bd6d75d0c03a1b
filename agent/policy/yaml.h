// SPDX-License-Identifier: Apache-2.0
// yaml-cpp with this project's errors: no exceptions, one line, "file:line: key: what".
#ifndef SMC_STEER_AGENT_POLICY_YAML_H
#define SMC_STEER_AGENT_POLICY_YAML_H

#include <yaml-cpp/yaml.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace smc_steer {

// An empty text is an empty map.
Result<YAML::Node> yaml_load(std::string_view text, const std::string& name);

// Counted from 1, as editors do.
int yaml_line(const YAML::Node& node);

tl::unexpected<Error> yaml_error(const YAML::Node& node, const std::string& name,
                                 const std::string& what);

// `map` has no keys but these, none of them twice.
Result<void> yaml_known_keys(const YAML::Node& map, const std::string& name,
                             std::initializer_list<std::string_view> keys);

// The key `key` of `map` itself, for its line; none: there is none.
std::optional<YAML::Node> yaml_key(const YAML::Node& map, std::string_view key);

Result<std::string> yaml_string(const YAML::Node& node, const std::string& name,
                                std::string_view key);

Result<std::vector<std::string>> yaml_strings(const YAML::Node& node, const std::string& name,
                                              std::string_view key);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_YAML_H
