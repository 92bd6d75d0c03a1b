// SPDX-License-Identifier: Apache-2.0
// smc-policy bugtool: everything a person who helps would ask for, in one file.
#ifndef SMC_STEER_AGENT_CLI_BUGTOOL_H
#define SMC_STEER_AGENT_CLI_BUGTOOL_H

#include <string>

#include "agent/base/result.h"

namespace smc_steer {

// Writes `path` (.tar.gz), readable by its owner only. What cannot be collected is in there as
// the error it gave. Rules and addresses are in it, payload is not.
Result<void> write_bug_report(const std::string& path, const std::string& socket_path);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_BUGTOOL_H
