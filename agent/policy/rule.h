// SPDX-License-Identifier: Apache-2.0
// What the rules are, wherever they come from.
#ifndef SMC_STEER_AGENT_POLICY_RULE_H
#define SMC_STEER_AGENT_POLICY_RULE_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/cidr.h"
#include "agent/policy/ports.h"
#include "agent/policy/workload.h"

namespace smc_steer {

enum class Action { deny, allow };

// Of the connection, seen from this guest: out, it is the client; in, the server.
enum class Direction { both, out, in };

// How a connection reaches shared memory.
enum class Via { smc, direct };

std::string_view to_string(Action action);
std::string_view to_string(Direction direction);
std::string_view to_string(Via via);
std::optional<Action> parse_action(std::string_view text);
std::optional<Direction> parse_direction(std::string_view text);
std::optional<Via> parse_via(std::string_view text);

// Where a rule was written. line 0: not in a file.
struct Origin {
    std::string file;
    int line = 0;

    bool operator==(const Origin&) const = default;
};

// "FILE:LINE", or the bare name of what is not a file.
std::string to_string(const Origin& origin);

// What a rule does not name it does not ask about: no ports are all ports.
struct Rule {
    Action action = Action::deny;
    std::vector<PortRange> ports;  // of the server, at either end
    std::string comment;
    Origin origin;
    Direction direction = Direction::both;
    std::vector<Cidr> peers{};  // the other end
    std::optional<Workload> workload{};
    std::optional<Via> via{};  // of `allow`: the other path does not take them

    bool operator==(const Rule&) const = default;
    // About the same connections, whatever it does with them.
    bool same_connections(const Rule& other) const;
    // Does it hold whenever a socket of its workload is made, whatever becomes of it.
    bool is_about_sockets() const {
        return workload && ports.empty() && peers.empty() && direction == Direction::both;
    }
    // What it says about that path: one that names the other path denies this one.
    Action action_on(Via path) const { return via && *via != path ? Action::deny : action; }
    bool covers(Direction way) const { return direction == Direction::both || direction == way; }
    bool covers(std::uint16_t port) const;
    bool covers(const In6& peer) const;
};

// What a rule must be beyond what its fields must be; the error names the field.
Result<void> check_rule(const Rule& rule);

// "deny 22, 8000-8100", "allow out all ports with 10.0.0.0/8 of uid:1000"
std::string to_string(const Rule& rule);

// The rules in force, in the order of the files and of the rules in them. Order decides
// nothing: what any rule denies is denied, else what one allows is allowed, else the default
// holds.
struct Policy {
    Action default_action = Action::allow;
    Origin default_origin;
    std::vector<Rule> rules;
};

// What holds when there is no policy file: everything but SSH, so that the way in to
// repair things never depends on SMC, and the ports that the kernel was told to reserve.
Policy builtin_policy(const std::vector<PortRange>& reserved = {});

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_RULE_H
