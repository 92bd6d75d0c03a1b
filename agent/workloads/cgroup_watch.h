// SPDX-License-Identifier: Apache-2.0
// The tree of control groups, kept up to date by inotify: a container is covered when its control
// group is made, not at the next scan.
#ifndef SMC_STEER_AGENT_WORKLOADS_CGROUP_WATCH_H
#define SMC_STEER_AGENT_WORKLOADS_CGROUP_WATCH_H

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/policy/pod.h"

namespace smc_steer {

struct NewCgroup {
    CgroupEntry cgroup;
    // CLOCK_REALTIME, of the first look that anybody had into the directory: cgroupfs keeps no
    // other time. No process can be in it before.
    std::uint64_t since_ns = 0;
};

class CgroupWatch {
public:
    explicit CgroupWatch(std::string mount = "/sys/fs/cgroup");

    // Readable when control groups came or went. -1: the machine has no inotify to give, and
    // scan() alone finds them.
    int fd() const { return inotify_.get(); }

    // What has come; also when scan() found it.
    std::vector<NewCgroup> read_events();
    // Looks at all of them, in case something was missed: there are limits to how many
    // directories can be watched and how many events can wait.
    std::vector<NewCgroup> scan();

    // Each after the one it is in.
    std::vector<CgroupEntry> list() const;
    // Directories that could not be watched: scan() alone finds what is made in them.
    std::size_t unwatched() const { return all_.size() - paths_.size(); }

private:
    struct Known {
        std::uint64_t id = 0;
        int watch = -1;
    };
    void visit(const std::string& path, std::vector<NewCgroup>& found);
    void forget(const std::string& path);
    void unwatch(const Known& known);

    std::string mount_;
    UniqueFd inotify_;
    std::map<std::string, Known> all_;            // by path below the mount
    std::unordered_map<int, std::string> paths_;  // of the watches
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_WORKLOADS_CGROUP_WATCH_H
