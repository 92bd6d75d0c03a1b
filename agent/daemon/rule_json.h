// SPDX-License-Identifier: Apache-2.0
// A rule as the control socket and --json have it. Names are stable. Pure.
#ifndef SMC_STEER_AGENT_DAEMON_RULE_JSON_H
#define SMC_STEER_AGENT_DAEMON_RULE_JSON_H

#include <nlohmann/json.hpp>

#include "agent/policy/rule.h"

namespace smc_steer {

// "action", "direction", "ports", "peers", "workload" ("" for any), "via" ("" for either path),
// "comment", "file", "line", "text" (all of it but the comment, for people).
nlohmann::json rule_json(const Rule& rule);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_RULE_JSON_H
