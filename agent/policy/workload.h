// SPDX-License-Identifier: Apache-2.0
// Whose connections a rule is about: "cgroup:/kubepods/*", "pod:shop/web-*", "uid:1000".
#ifndef SMC_STEER_AGENT_POLICY_WORKLOAD_H
#define SMC_STEER_AGENT_POLICY_WORKLOAD_H

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/result.h"
#include "agent/policy/pod.h"

namespace smc_steer {

enum class WorkloadKind {
    cgroup,     // path or glob below /sys/fs/cgroup, with all below it
    unit,       // systemd unit
    container,  // id, 12 digits of it or more
    pod,        // NAMESPACE/NAME, either may be a glob
    pod_space,  // all pods of a Kubernetes namespace
    label,      // all pods with KEY=VALUE
    uid,        // of the process that made the socket
    netns,      // name below /run/netns, or inode number
    command,    // the process's name, as in /proc/PID/comm
};

inline constexpr std::array<std::pair<std::string_view, WorkloadKind>, 9> kWorkloadKinds{{
    {"cgroup", WorkloadKind::cgroup},
    {"unit", WorkloadKind::unit},
    {"container", WorkloadKind::container},
    {"pod", WorkloadKind::pod},
    {"namespace", WorkloadKind::pod_space},
    {"label", WorkloadKind::label},
    {"uid", WorkloadKind::uid},
    {"netns", WorkloadKind::netns},
    {"command", WorkloadKind::command},
}};

std::string_view to_string(WorkloadKind kind);

struct Workload {
    WorkloadKind kind = WorkloadKind::cgroup;
    std::string value;

    auto operator<=>(const Workload&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
    // Is it about pods, and does the container runtime say which.
    bool is_pod() const {
        return kind == WorkloadKind::pod || kind == WorkloadKind::pod_space ||
               kind == WorkloadKind::label;
    }
    // Is it told by the control group a socket was made in.
    bool is_cgroup() const {
        return kind == WorkloadKind::cgroup || kind == WorkloadKind::unit ||
               kind == WorkloadKind::container || is_pod();
    }
};

// The value alone; errors do not name the kind.
Result<Workload> make_workload(WorkloadKind kind, std::string_view value);
// "KIND:VALUE"
Result<Workload> parse_workload(std::string_view text);
// Likewise.
std::string to_string(const Workload& workload);

// Does a workload with is_cgroup() mean the control group `path` ("/a/b", the root is "/")
// itself. Those below it belong to it too, but are not asked about here; nor are pods.
bool names_cgroup(const Workload& workload, std::string_view path);

// Likewise, or one that `path` is in.
bool is_around(const Workload& workload, std::string path);

// Does a workload with is_pod() mean it.
bool names_pod(const Workload& workload, const Pod& pod);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_WORKLOAD_H
