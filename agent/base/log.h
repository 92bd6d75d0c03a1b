// SPDX-License-Identifier: Apache-2.0
// Logging goes through spdlog's default logger (spdlog::info and friends); this sets it up once.
#ifndef SMC_STEER_AGENT_BASE_LOG_H
#define SMC_STEER_AGENT_BASE_LOG_H

#include <spdlog/spdlog.h>

#include <string>

#include "agent/base/result.h"

namespace smc_steer {

// One of trace, debug, info, warn, error, critical, off; else an error that lists them.
Result<spdlog::level::level_enum> parse_log_level(const std::string& name);

// Log lines go to stderr. Under systemd (stderr is the journal, sd-daemon(3)) they carry the
// priority prefix "<N>" instead of a time and a name, which the journal adds itself.
void log_init(const std::string& program, spdlog::level::level_enum level);

// The last warning or error that was logged, with its time ("2026-01-31 23:59:59 no such
// device"); empty: none since log_init().
std::string last_complaint();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_LOG_H
