// SPDX-License-Identifier: Apache-2.0
// Which paths there are: agent.yaml says, and for `path: auto` whether the kernel has tcp_ivpci,
// now and whenever that changes.
#ifndef SMC_STEER_AGENT_DAEMON_PATH_CHOICE_H
#define SMC_STEER_AGENT_DAEMON_PATH_CHOICE_H

#include <functional>
#include <string>
#include <vector>

#include "agent/daemon/config.h"

namespace smc_steer {

// Which paths a session has.
struct Paths {
    bool smc = true;      // new sockets become SMC sockets
    bool direct = false;  // living TCP connections are moved

    // New connections are TCP, and moved while they live.
    bool only_direct() const { return direct && !smc; }

    bool operator==(const Paths&) const = default;
};

// Is tcp_ivpci in the kernel.
bool direct_is_loaded();

// SMC decides at socket(), the direct path while a connection lives: it serves what SMC does not.
Paths choose_paths(const Config& config, bool loaded = direct_is_loaded());

// A running session's paths are others than would be chosen now. One that is replaced takes with it
// what it has, so it waits: a module that gives way to its next version is gone for a moment. What
// could not be is tried again after a minute, then after two, four and so on.
class PathChange {
public:
    // In a row that agree.
    static constexpr unsigned kLooks = 6;    // three seconds
    static constexpr unsigned kAgain = 120;  // a minute

    // Called twice a second. Value: it is time.
    bool is_due(const Paths& has, const Paths& wants);

private:
    Paths wants_;
    unsigned looks_ = 0;  // in a row that wanted that
};

// Starts a session with the first of these paths that there can be one with. `start`: why there is
// none; empty: it runs. Value: what was said before that; one for each: none runs.
std::vector<std::string> start_one_of(const std::vector<Paths>& choices,
                                      const std::function<std::string(const Paths&)>& start);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_PATH_CHOICE_H
