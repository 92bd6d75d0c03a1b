// SPDX-License-Identifier: Apache-2.0
// The agent's answers as text for people. Pure.
#ifndef SMC_STEER_AGENT_CLI_RENDER_H
#define SMC_STEER_AGENT_CLI_RENDER_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/base/human.h"

namespace smc_steer {

// Columns as wide as their widest cell, two blanks apart, no blanks at line ends.
std::string render_table(const std::vector<std::vector<std::string>>& rows);

// Each takes the answer to the command of its name.
std::string render_status(const nlohmann::json& answer);
std::string render_status_brief(const nlohmann::json& answer);
std::string render_reasons(const nlohmann::json& answer);
// A line of monitor.
std::string render_decision(const nlohmann::json& line);
std::string render_peers(const nlohmann::json& answer);
std::string render_pods(const nlohmann::json& answer);
std::string render_rules(const nlohmann::json& answer);
std::string render_flows(const nlohmann::json& answer);
std::string render_endpoints(const nlohmann::json& answer);

// Of allow, deny and remove.
std::string render_edit(const nlohmann::json& answer);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_RENDER_H
