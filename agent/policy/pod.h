// SPDX-License-Identifier: Apache-2.0
// Pods, as the container runtime tells of them, and which control groups are theirs. Pure.
#ifndef SMC_STEER_AGENT_POLICY_POD_H
#define SMC_STEER_AGENT_POLICY_POD_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace smc_steer {

// A control group's path -> that of the one it is in; of a top one, nothing.
inline std::string around(const std::string& path) { return path.substr(0, path.rfind('/')); }

inline constexpr std::string_view kAccelerateAnnotation = "smc-steer.io/accelerate";

struct CgroupEntry {
    std::string path;  // "/", "/a/b"
    std::uint64_t id = 0;

    bool operator==(const CgroupEntry&) const = default;
};

struct Pod {
    std::string space;  // its Kubernetes namespace
    std::string name;
    std::string uid;
    std::map<std::string, std::string> labels;
    std::vector<std::string> ids;    // of its sandbox and its containers
    std::optional<bool> accelerate;  // as annotated; none: the node's default
    std::string complaint;           // about the annotation
    bool operator==(const Pod&) const = default;
};

// "default/web-0"
std::string to_string(const Pod& pod);

// "true" and "false"; none for anything else.
std::optional<bool> parse_accelerate(std::string_view annotation);

// The id in the name of a container's control group: "ID", "cri-containerd-ID.scope",
// "crio-ID.scope", "docker-ID.scope", "libpod-ID.scope", "libpod-ID". Empty: it has none.
std::string_view container_of_cgroup(std::string_view name);

// Does the kubelet name a pod's control group so, with either of its drivers: "podUID",
// "kubepods-besteffort-podUID.slice" with underscores in the UID. The value is the UID, with
// dashes; empty: it is not a pod's.
std::string pod_uid_of_cgroup(std::string_view name);

// Control group -> number in `pods`, for those in which a pod begins. A pod has several where the
// runtime runs without a kubelet: one for each of its containers. A name says nothing below
// another pod's control group: whoever is in there may have made it up.
using PodCgroups = std::unordered_map<std::string, std::size_t>;
// `cgroups`: each after the one it is in.
PodCgroups find_pod_cgroups(const std::vector<Pod>& pods, const std::vector<CgroupEntry>& cgroups);

// Whose control group `path` is or is in; null: no pod's.
const Pod* pod_of_cgroup(const std::vector<Pod>& pods, const PodCgroups& found, std::string path);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_POD_H
