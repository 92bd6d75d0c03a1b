// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/rule_json.h"

namespace smc_steer {
namespace {

template <typename T>
nlohmann::json texts(const std::vector<T>& list) {
    auto out = nlohmann::json::array();
    for (const auto& entry : list) {
        out.push_back(to_string(entry));
    }
    return out;
}

}  // namespace

nlohmann::json rule_json(const Rule& rule) {
    return {
        {"action", to_string(rule.action)},
        {"direction", to_string(rule.direction)},
        {"ports", texts(rule.ports)},
        {"peers", texts(rule.peers)},
        {"workload", rule.workload ? to_string(*rule.workload) : ""},
        {"via", rule.via ? to_string(*rule.via) : ""},
        {"comment", rule.comment},
        {"file", rule.origin.file},
        {"line", rule.origin.line},
        {"text", to_string(rule)},
    };
}

}  // namespace smc_steer
