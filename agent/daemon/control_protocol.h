// SPDX-License-Identifier: Apache-2.0
// What smc-policy and smc-agent say to each other: one JSON object per line, each way. Pure.
//
//   {"cmd":"status"}  likewise peers, rules, flows, endpoints, reasons
//   {"cmd":"allow","ports":"80,8000-8100","direction":"out","peers":"10.0.0.0/8,fd00::/8",
//    "workload":"uid:1000","comment":"why"}  likewise deny; each may be absent, not all;
//    of allow also "via":"smc" or "direct"
//   {"cmd":"remove","number":3}  a rule's number as "rules" shows it
//   {"cmd":"explain","source":"10.0.0.1","destination":"10.0.0.2","port":80,
//    "workload":"uid:1000"}  workload may be absent
//   {"cmd":"apply"}  reads the policy files again, now
//   {"cmd":"upgrade","binary":"/usr/sbin/smc-agent"}  root only; without: the same path again
//   {"cmd":"monitor"}  after the answer, a line for every decision until the client hangs up
//
// Answers: {"ok":true, ...} or {"ok":false,"error":"one line"}.
#ifndef SMC_STEER_AGENT_DAEMON_CONTROL_PROTOCOL_H
#define SMC_STEER_AGENT_DAEMON_CONTROL_PROTOCOL_H

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "agent/policy/rule.h"

namespace smc_steer {

inline constexpr std::size_t kRequestMost = 64 << 10;  // bytes, newline included
inline constexpr const char* kDefaultSocket = "/run/smc-steer/agent.sock";

enum class Command {
    status,
    peers,
    pods,
    rules,
    flows,
    endpoints,
    reasons,
    monitor,
    allow,
    deny,
    remove,
    explain,
    apply,
    upgrade
};

// Does it change anything.
bool is_write(Command command);

struct Request {
    Command command = Command::status;
    Rule rule;       // allow, deny
    int number = 0;  // remove
    In6 source{};    // explain, with the next three
    In6 destination{};
    std::uint16_t port = 0;
    std::optional<Workload> workload{};
    std::string binary;  // upgrade
};

// `line` without the newline. Unknown commands and members are errors.
Result<Request> parse_request(std::string_view line);

nlohmann::json error_answer(const std::string& message);

// One line with its newline. Text that is not UTF-8 (a host name, a comment) is replaced.
std::string to_line(const nlohmann::json& answer);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_CONTROL_PROTOCOL_H
