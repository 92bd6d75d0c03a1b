// SPDX-License-Identifier: Apache-2.0
// The policy on disk: policy.yaml, policy.d/*.yaml beside it, and who changed them.
#ifndef SMC_STEER_AGENT_DAEMON_POLICY_SOURCE_H
#define SMC_STEER_AGENT_DAEMON_POLICY_SOURCE_H

#include <functional>
#include <string>
#include <vector>

#include "agent/base/event_loop.h"
#include "agent/policy/policy_file.h"

namespace smc_steer {

struct PolicyPaths {
    std::string main_file;
    bool must_exist = false;  // somebody named it; the default path may be absent
    std::string drop_ins{};   // instead of policy.d beside the main file
    std::string reserved_ports = "/proc/sys/net/ipv4/ip_local_reserved_ports";

    std::string drop_in_dir() const;  // policy.d beside the main file
    std::string own_file() const;     // policy.d/50-smc-policy.yaml, the CLI's rules
};

// Reads all of them; drop-ins in the order of their names. Editors' leftovers (names not
// ending in .yaml) do not count.
Result<Policy> load_policy(const PolicyPaths& paths);
// What that would be if the CLI's own file held these rules, and it is not written.
Result<Policy> load_policy_with(const PolicyPaths& paths, const std::vector<Rule>& own);

// The rules in the CLI's own file; none if it does not exist.
Result<std::vector<Rule>> load_own_rules(const PolicyPaths& paths);
Result<void> save_own_rules(const PolicyPaths& paths, const std::vector<Rule>& rules);

// Calls back a moment after the last of a burst of changes in the two directories. Directories
// may be missing: refresh(), from time to time, watches what has appeared.
class PolicyWatch {
public:
    PolicyWatch(EventLoop& loop, PolicyPaths paths, std::function<void()> on_change)
        : loop_(loop), paths_(std::move(paths)), on_change_(std::move(on_change)) {}

    void refresh();

private:
    struct Watch {
        std::string directory;
        EventSource source;
    };
    void watch(Watch& watch);
    void changed();

    EventLoop& loop_;
    PolicyPaths paths_;
    std::function<void()> on_change_;
    Watch main_;
    Watch drop_ins_;
    EventSource pause_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_POLICY_SOURCE_H
