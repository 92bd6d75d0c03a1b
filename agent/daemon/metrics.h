// SPDX-License-Identifier: Apache-2.0
// The agent's numbers as Prometheus text. Names, types and labels are stable: docs/OPERATIONS.md
// lists them, a test compares. Pure.
#ifndef SMC_STEER_AGENT_DAEMON_METRICS_H
#define SMC_STEER_AGENT_DAEMON_METRICS_H

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

namespace smc_steer {

struct MetricFamily {
    std::string_view name;
    std::string_view type;    // "counter" or "gauge"
    std::string_view labels;  // "side, code", or empty
    std::string_view help;
};
std::span<const MetricFamily> metric_families();

// From the answers to the commands "status" and "reasons", and the list of
// Session::report_programs(). What they do not have is left out.
std::string render_metrics(const nlohmann::json& status, const nlohmann::json& reasons,
                           const nlohmann::json& programs);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_METRICS_H
