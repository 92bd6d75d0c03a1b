// SPDX-License-Identifier: Apache-2.0
// What the workloads of the rules are looked up in.
#ifndef SMC_STEER_AGENT_WORKLOADS_MACHINE_H
#define SMC_STEER_AGENT_WORKLOADS_MACHINE_H

#include <string>
#include <vector>

#include "agent/policy/members.h"

namespace smc_steer {

// All control groups below `mount`, each after the one it is in. Those that vanish meanwhile
// are left out.
std::vector<CgroupEntry> list_cgroups(const std::string& mount = "/sys/fs/cgroup");

// Names of the directories in `directory`; links do not count.
std::vector<std::string> list_directories(const std::string& directory);

// The network namespaces that have a name in `directory`.
std::map<std::string, std::uint64_t> list_named_netns(const std::string& directory = "/run/netns");

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_WORKLOADS_MACHINE_H
