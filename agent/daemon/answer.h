// SPDX-License-Identifier: Apache-2.0
// Members of answers of any version: what is missing, or of another type, is nothing. Pure.
#ifndef SMC_STEER_AGENT_DAEMON_ANSWER_H
#define SMC_STEER_AGENT_DAEMON_ANSWER_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace smc_steer {

inline std::string text_of(const nlohmann::json& object, const std::string& name) {
    auto entry = object.find(name);
    return entry != object.end() && entry->is_string() ? entry->get<std::string>() : "";
}

inline std::uint64_t number_of(const nlohmann::json& object, const std::string& name) {
    auto entry = object.find(name);
    return entry != object.end() && entry->is_number() ? entry->get<std::uint64_t>() : 0;
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_ANSWER_H
