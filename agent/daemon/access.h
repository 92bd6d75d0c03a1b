// SPDX-License-Identifier: Apache-2.0
// Who may ask the agent, and who may change its rules. Pure but for find_group().
#ifndef SMC_STEER_AGENT_DAEMON_ACCESS_H
#define SMC_STEER_AGENT_DAEMON_ACCESS_H

#include <sys/types.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace smc_steer {

// The process at the other end of the control socket, as the kernel vouches for it.
struct Caller {
    uid_t uid = static_cast<uid_t>(-1);
    std::vector<gid_t> groups;
};

// Of a connected AF_UNIX socket: SO_PEERCRED and SO_PEERGROUPS, at the time of its connect().
Result<Caller> caller_of(int fd);

struct Access {
    uid_t owner = geteuid();  // the agent's own user is as good as root
    bool all_read = false;
    std::optional<gid_t> readers;  // besides root and the writers
    std::optional<gid_t> writers;  // besides root

    bool is_owner(const Caller& caller) const { return caller.uid == 0 || caller.uid == owner; }
    bool may_read(const Caller& caller) const;
    bool may_write(const Caller& caller) const;
    // Somebody but root has to be able to connect.
    bool open_to_others() const { return all_read || readers || writers; }
};

// `read`: "root", "all" or a group; `write`: "root" or a group. Fails for a group that the
// machine does not have.
Result<Access> resolve_access(const std::string& read, const std::string& write);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_ACCESS_H
