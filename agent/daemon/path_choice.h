// SPDX-License-Identifier: Apache-2.0
// Which paths there are: agent.yaml says, and for `path: auto` whether the kernel has tcp_ivpci,
// now and whenever that changes.
#ifndef SMC_STEER_AGENT_DAEMON_PATH_CHOICE_H
#define SMC_STEER_AGENT_DAEMON_PATH_CHOICE_H

#include "agent/daemon/config.h"

namespace smc_steer {

// Which paths a session has.
struct Paths {
    bool smc = true;      // new sockets become SMC sockets
    bool direct = false;  // living TCP connections are moved

    bool operator==(const Paths&) const = default;
};

// Is tcp_ivpci in the kernel.
bool direct_is_loaded();

// SMC decides at socket(), the direct path while a connection lives: it serves what SMC does not.
Paths choose_paths(const Config& config, bool loaded = direct_is_loaded());

// A running session's paths are others than would be chosen now. One that is replaced takes with it
// what it has, so it waits: a module that gives way to its next version is gone for a moment.
class PathChange {
public:
    static constexpr unsigned kLooks = 6;  // that agree: three seconds

    // Called twice a second. Value: it is time.
    bool is_due(const Paths& has, const Paths& wants);

private:
    Paths wants_;
    unsigned looks_ = 0;  // in a row that wanted that
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_PATH_CHOICE_H
