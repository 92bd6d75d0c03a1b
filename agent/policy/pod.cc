// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/pod.h"

#include <algorithm>

namespace smc_steer {
namespace {

constexpr std::size_t kIdLeast = 12, kIdMost = 128;
constexpr std::string_view kScope = ".scope", kSlice = ".slice", kPod = "pod";

bool hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

std::string_view last_component(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string to_string(const Pod& pod) { return pod.space + "/" + pod.name; }

std::optional<bool> parse_accelerate(std::string_view annotation) {
    if (annotation == "true") {
        return true;
    }
    if (annotation == "false") {
        return false;
    }
    return std::nullopt;
}

std::string_view container_of_cgroup(std::string_view name) {
    if (name.ends_with(kScope)) {
        name.remove_suffix(kScope.size());
    }
    // ':' is containerd's where its driver is not the kubelet's.
    if (auto mark = name.find_last_of("-:"); mark != std::string_view::npos) {
        name.remove_prefix(mark + 1);
    }
    bool id = name.size() >= kIdLeast && name.size() <= kIdMost &&
              std::all_of(name.begin(), name.end(), hex);
    return id ? name : std::string_view();
}

std::string pod_uid_of_cgroup(std::string_view name) {
    bool slice = name.ends_with(kSlice);
    if (slice) {
        name.remove_suffix(kSlice.size());
        auto mark = name.rfind('-');
        if (!name.starts_with("kubepods") || mark == std::string_view::npos) {
            return "";
        }
        name.remove_prefix(mark + 1);
    }
    if (!name.starts_with(kPod) || name.size() == kPod.size()) {
        return "";
    }
    std::string uid(name.substr(kPod.size()));
    if (slice) {
        std::replace(uid.begin(), uid.end(), '_', '-');
    }
    return uid;
}

PodCgroups find_pod_cgroups(const std::vector<Pod>& pods, const std::vector<CgroupEntry>& cgroups) {
    std::unordered_map<std::string_view, std::size_t> by_uid, by_id;
    for (std::size_t i = 0; i < pods.size(); i++) {
        // What has no UID or id must not be found by the names that have none.
        if (!pods[i].uid.empty()) {
            by_uid.emplace(pods[i].uid, i);
        }
        for (const auto& id : pods[i].ids) {
            if (!id.empty()) {
                by_id.emplace(id, i);
            }
        }
    }
    PodCgroups found;
    for (const auto& cgroup : cgroups) {
        if (pods.empty() || pod_of_cgroup(pods, found, around(cgroup.path))) {
            continue;
        }
        auto name = last_component(cgroup.path);
        if (auto uid = by_uid.find(pod_uid_of_cgroup(name)); uid != by_uid.end()) {
            found.emplace(cgroup.path, uid->second);
        } else if (auto id = by_id.find(container_of_cgroup(name)); id != by_id.end()) {
            found.emplace(cgroup.path, id->second);
        }
    }
    return found;
}

const Pod* pod_of_cgroup(const std::vector<Pod>& pods, const PodCgroups& found, std::string path) {
    for (; !path.empty(); path = around(path)) {
        if (auto entry = found.find(path); entry != found.end()) {
            return &pods[entry->second];
        }
    }
    return nullptr;
}

}  // namespace smc_steer
