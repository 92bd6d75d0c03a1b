// SPDX-License-Identifier: Apache-2.0
// smc-policy top: the busiest connections, and what each moves per second. Pure.
#ifndef SMC_STEER_AGENT_CLI_TOP_H
#define SMC_STEER_AGENT_CLI_TOP_H

#include <nlohmann/json.hpp>
#include <string>

namespace smc_steer {

class Top {
public:
    // From the answers to "status" and "flows", and the seconds since the last call; at most
    // `rows` connections, busiest first. The first call has no rates.
    std::string render(const nlohmann::json& status, const nlohmann::json& flows, double seconds,
                       std::size_t rows);

private:
    nlohmann::json before_;  // by connection
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_TOP_H
