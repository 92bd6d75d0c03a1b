// SPDX-License-Identifier: Apache-2.0
// Network namespaces: which there are, and doing something inside one.
#ifndef SMC_STEER_AGENT_KERNEL_NETNS_H
#define SMC_STEER_AGENT_KERNEL_NETNS_H

#include <sys/types.h>

#include <compare>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/kernel/proc_root.h"

namespace smc_steer {

// The namespace's file on nsfs. Unique among living namespaces; it can be reused after a
// death, which nobody sees who holds a descriptor.
struct NetnsId {
    dev_t device = 0;
    ino_t inode = 0;

    auto operator<=>(const NetnsId&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

// Where namespaces can be found: every process's, and the files people and container
// engines bind them to. A namespace that is kept only by somebody's open descriptor is
// not found; what INHERITABLE did at its birth is all it gets.
struct NetnsPlaces {
    std::string proc = proc_root();
    std::vector<std::string> bind_dirs{"/run/netns", "/run/docker/netns"};
};

// Namespace -> a path to open it by, at the time of the call. Costs a readdir and a stat per
// process.
std::map<NetnsId, std::string> list_netns(const NetnsPlaces& places = {});

// The calling thread's; {} where /proc does not tell.
NetnsId own_netns();

// Opens `path` if it still leads to `id`. An empty descriptor: it does not, since the process ended
// or entered another namespace; list_netns() may know another path by now.
Result<UniqueFd> open_netns(const std::string& path, NetnsId id);

// Runs `work` in the namespace, on a thread that lives as long as the call: setns() is of
// a thread, and the agent's own threads must never be elsewhere than expected. Sockets
// made by `work` stay in the namespace and are good on any thread. Needs CAP_SYS_ADMIN.
Result<void> run_in_netns(const UniqueFd& netns, const std::function<Result<void>()>& work);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_NETNS_H
