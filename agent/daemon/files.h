// SPDX-License-Identifier: Apache-2.0
// Whole files, in and out.
#ifndef SMC_STEER_AGENT_DAEMON_FILES_H
#define SMC_STEER_AGENT_DAEMON_FILES_H

#include <optional>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

// At most 4 MiB, regular files only. None: there is no such file.
Result<std::optional<std::string>> read_file(const std::string& path);

// Old content or new, never a part, also after a power cut: temporary file beside it, fsync,
// rename, fsync of the directory. The directory is made if it is missing.
Result<void> replace_file(const std::string& path, const std::string& content);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_FILES_H
