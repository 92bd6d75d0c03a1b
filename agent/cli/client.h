// SPDX-License-Identifier: Apache-2.0
// One question to smc-agent over its control socket.
#ifndef SMC_STEER_AGENT_CLI_CLIENT_H
#define SMC_STEER_AGENT_CLI_CLIENT_H

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

inline constexpr std::chrono::seconds kSilence{10};

// The answer, which is an object with "ok": true. Errors: no agent there, no right to ask, what
// the agent said ("error"), or `silence`.
Result<nlohmann::json> ask(const std::string& socket_path, const nlohmann::json& request,
                           std::chrono::seconds silence = kSilence);

// Likewise, and then each line that follows, for as long as the agent keeps the connection.
// Returns why it ended.
Error listen(const std::string& socket_path, const nlohmann::json& request,
             const std::function<void(const nlohmann::json&)>& on_line);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_CLIENT_H
