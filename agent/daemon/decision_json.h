// SPDX-License-Identifier: Apache-2.0
// A decision of the handshake with the rule behind it, as 'smc-policy monitor' gets it. Pure.
#ifndef SMC_STEER_AGENT_DAEMON_DECISION_JSON_H
#define SMC_STEER_AGENT_DAEMON_DECISION_JSON_H

#include <smc_steer/events_abi.h>

#include <nlohmann/json.hpp>

#include "agent/policy/rule.h"

namespace smc_steer {

nlohmann::json decision_json(const steer_decision& decision, const Policy& policy);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_DECISION_JSON_H
