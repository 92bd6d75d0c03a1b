// SPDX-License-Identifier: Apache-2.0
// What the rules say about one connection, rule by rule: the meaning that tables.h makes fast.
#ifndef SMC_STEER_AGENT_POLICY_VERDICTS_H
#define SMC_STEER_AGENT_POLICY_VERDICTS_H

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "agent/policy/rule.h"

namespace smc_steer {

struct Connection {
    Direction way = Direction::out;  // out or in
    std::uint16_t port = 0;          // the server's
    In6 peer{};
    // Does our end belong to that workload.
    std::function<bool(const Workload&)> is_of = [](const Workload&) { return false; };
};

struct Explanation {
    Action action = Action::deny;
    std::optional<Rule> rule;  // the rule that decided; none: the default
};

// Whether it may take that path: the first rule that denies it (rules with `via` deny the other
// path), else the first that allows it, else the default. Port 0 is no server's and always denied.
Explanation explain(const Policy& policy, const Connection& connection, Via path);

// For people: what a rule that decided says, with its place.
std::string to_string(const Explanation& explanation);

// A rule that keeps some connection off a path that `rule` would let it take: it denies, or names
// the other path. None: allowing has its full effect. Workloads of different kinds may or may not
// meet: they are taken not to.
std::optional<Rule> denied_by(const Policy& policy, const Rule& rule);
// The same for people, in one line; empty: none.
std::string denied_by_text(const Policy& policy, const Rule& rule);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_VERDICTS_H
