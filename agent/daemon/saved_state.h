// SPDX-License-Identifier: Apache-2.0
// What the agent has to know to put the machine back as it was, kept in a file beside the
// control socket: an agent that is upgraded, or follows one that was killed, or 'smc-policy
// cleanup', would otherwise take its predecessor's settings for the machine's own.
#ifndef SMC_STEER_AGENT_DAEMON_SAVED_STATE_H
#define SMC_STEER_AGENT_DAEMON_SAVED_STATE_H

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "agent/kernel/netns.h"
#include "agent/kernel/smc_sysctls.h"
#include "agent/kernel/smc_totals.h"

namespace smc_steer {

struct SavedState {
    SmcSysctls set;  // what the agent put in force
    std::map<NetnsId, SavedSysctls> namespaces;
    std::string eid;
    bool remove_eid = false;
    SmcTotals totals;
};

nlohmann::json to_json(const SavedState& state);
// Fails for anything that to_json() did not make.
Result<SavedState> saved_state_from(const nlohmann::json& object);

std::string saved_state_path(const std::string& socket_path);
// None: there is no such file.
Result<std::optional<SavedState>> load_saved_state(const std::string& path);
Result<void> store_saved_state(const std::string& path, const SavedState& state);
void remove_saved_state(const std::string& path);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_SAVED_STATE_H
