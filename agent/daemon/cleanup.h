// SPDX-License-Identifier: Apache-2.0
// Takes back what an agent that did not end by itself left in the machine.
#ifndef SMC_STEER_AGENT_DAEMON_CLEANUP_H
#define SMC_STEER_AGENT_DAEMON_CLEANUP_H

#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/daemon/saved_state.h"

namespace smc_steer {

// Registrations of the handshake, SMC's sysctls and filters on devices in every network namespace,
// the EID, pinned maps, files beside the control socket. Rules and configuration stay. Value: what
// was done, a line each; none: there was nothing. EADDRINUSE in the error: an agent is running.
Result<std::vector<std::string>> clean_up(const std::string& socket_path);

// Of that, what belongs to the SMC path: for an agent that comes after one which had it.
Result<void> take_smc_back(const SavedState& state, std::vector<std::string>& did);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_CLEANUP_H
