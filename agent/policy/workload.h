// SPDX-License-Identifier: Apache-2.0
// Whose connections a rule is about: "cgroup:/kubepods/*", "uid:1000".
#ifndef SMC_STEER_AGENT_POLICY_WORKLOAD_H
#define SMC_STEER_AGENT_POLICY_WORKLOAD_H

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/result.h"

namespace smc_steer {

enum class WorkloadKind {
    cgroup,     // path or glob below /sys/fs/cgroup, with all below it
    unit,       // systemd unit
    container,  // id, 12 digits of it or more
    uid,        // of the process that made the socket
    netns,      // name below /run/netns, or inode number
    command,    // the process's name, as in /proc/PID/comm
};

inline constexpr std::array<std::pair<std::string_view, WorkloadKind>, 6> kWorkloadKinds{{
    {"cgroup", WorkloadKind::cgroup},
    {"unit", WorkloadKind::unit},
    {"container", WorkloadKind::container},
    {"uid", WorkloadKind::uid},
    {"netns", WorkloadKind::netns},
    {"command", WorkloadKind::command},
}};

std::string_view to_string(WorkloadKind kind);

struct Workload {
    WorkloadKind kind = WorkloadKind::cgroup;
    std::string value;

    auto operator<=>(const Workload&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
    // Is it told by the control group a socket was made in.
    bool is_cgroup() const {
        return kind == WorkloadKind::cgroup || kind == WorkloadKind::unit ||
               kind == WorkloadKind::container;
    }
};

// The value alone; errors do not name the kind.
Result<Workload> make_workload(WorkloadKind kind, std::string_view value);
// "KIND:VALUE"
Result<Workload> parse_workload(std::string_view text);
// Likewise.
std::string to_string(const Workload& workload);

// Does a workload with is_cgroup() mean the control group `path` ("/a/b", the root is "/")
// itself. Those below it belong to it too, but are not asked about here.
bool names_cgroup(const Workload& workload, std::string_view path);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_WORKLOAD_H
