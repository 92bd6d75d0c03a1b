// SPDX-License-Identifier: Apache-2.0
// Control groups by their ids, which is how sockets and BPF programs know them.
#ifndef SMC_STEER_AGENT_KERNEL_CGROUP_PATH_H
#define SMC_STEER_AGENT_KERNEL_CGROUP_PATH_H

#include <cstdint>
#include <map>
#include <string>

namespace smc_steer {

// Paths below /sys/fs/cgroup ("/system.slice/nginx.service"), read when first asked and
// remembered for as long as the object lives: one object per question, since groups come and go.
class CgroupPaths {
public:
    explicit CgroupPaths(std::string mount = "/sys/fs/cgroup") : mount_(std::move(mount)) {}
    // Empty: no such group (any more).
    std::string of(std::uint64_t id);

private:
    void read();

    std::string mount_;
    bool read_ = false;
    std::map<std::uint64_t, std::string> known_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_CGROUP_PATH_H
