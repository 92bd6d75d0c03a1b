// SPDX-License-Identifier: Apache-2.0
// What explain and diff print. Pure.
#ifndef SMC_STEER_AGENT_CLI_RENDER_POLICY_H
#define SMC_STEER_AGENT_CLI_RENDER_POLICY_H

#include <nlohmann/json.hpp>
#include <string>

namespace smc_steer {

// The answer to explain.
std::string render_explain(const nlohmann::json& answer);

// From the policy in force (the answer to rules) to `wanted` ("default", "rules"): "default" (two
// elements, old and new; empty if it stays), "removed", "added" (rules). Where a rule is written
// and its comment make no difference.
nlohmann::json rule_changes(const nlohmann::json& in_force, const nlohmann::json& wanted);

// Of rule_changes(); one line each, "-" and "+" as in other diffs.
std::string render_changes(const nlohmann::json& changes);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_RENDER_POLICY_H
