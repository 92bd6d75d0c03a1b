// SPDX-License-Identifier: Apache-2.0
// The same question again and again, until interrupted or the agent is gone.
#ifndef SMC_STEER_AGENT_CLI_WATCH_H
#define SMC_STEER_AGENT_CLI_WATCH_H

#include <functional>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

// Prints what `look` returns every `seconds`: on a terminal over what was there before, else
// one after the other. Value: the exit code.
int watch(double seconds, const std::function<Result<std::string>()>& look);

// "2", "0.5": 0.1 to 3600 seconds.
Result<double> parse_seconds(const std::string& text);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_WATCH_H
