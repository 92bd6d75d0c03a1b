// SPDX-License-Identifier: Apache-2.0
// libFuzzer over what the agent reads of others about rules: policy files and control requests.
// Invariants are checked with abort().
#include <cstdlib>
#include <string>

#include "agent/daemon/control_protocol.h"
#include "agent/policy/members.h"
#include "agent/policy/policy_file.h"
#include "agent/policy/tables.h"

namespace smc_steer {
namespace {

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

void check_error(const Error& error) {
    require(!error.message.empty() && error.message.find('\n') == std::string::npos);
}

// Whatever is read can be written, read back to the same, and given to the datapath.
void check_rules(const std::vector<Rule>& rules) {
    auto again = parse_policy_file(format_policy_file(rules), "again");
    require(again.has_value() && again->rules.size() == rules.size());
    for (std::size_t i = 0; i < rules.size(); i++) {
        require(again->rules[i].action == rules[i].action &&
                again->rules[i].same_connections(rules[i]) &&
                again->rules[i].comment == rules[i].comment);
    }
    Policy policy;
    policy.rules = rules;
    auto tables = compile(policy);
    if (!tables) {
        check_error(tables.error());
        return;
    }
    std::uint32_t next = 0;
    for (const auto& [scope, spans] : tables->scopes) {
        require(spans.first == next);
        next += spans.count;
        for (std::uint32_t i = spans.first; i < next; i++) {
            require(tables->spans.at(i).first_port <= tables->spans[i].last_port);
            require(i == spans.first ||
                    tables->spans[i - 1].last_port < tables->spans[i].first_port);
        }
    }
    require(next == tables->spans.size());
    members(tables->workloads, {{{"/", 1}, {"/a", 2}, {"/a/b", 3}}, {{"blue", 7}}});
}

}  // namespace
}  // namespace smc_steer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace smc_steer;
    if (size == 0) {
        return 0;
    }
    std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
    if (data[0] % 2 == 0) {
        auto file = parse_policy_file(text, "f");
        if (file) {
            check_rules(file->rules);
        } else {
            check_error(file.error());
        }
        return 0;
    }
    auto request = parse_request(text);
    if (!request) {
        check_error(request.error());
    } else if (request->command == Command::allow || request->command == Command::deny) {
        check_rules({request->rule});
    }
    return 0;
}
