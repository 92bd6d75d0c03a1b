// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/steering.h"

#include <algorithm>

namespace smc_steer {
namespace {

// none: no control group around `path`, itself included, has an entry
const steer_workload* nearest(const Steering& steering, std::string path) {
    for (; !path.empty(); path = around(path)) {
        if (auto entry = steering.paths.find(path); entry != steering.paths.end()) {
            return &entry->second;
        }
    }
    auto root = steering.paths.find("/");
    return root == steering.paths.end() ? nullptr : &root->second;
}

}  // namespace

Steering steering(const Steered& steered, const Machine& machine) {
    Steering result;
    auto put = [&result](const CgroupEntry& cgroup, steer_workload what) {
        result.paths[cgroup.path] = what;
        result.ids[cgroup.id] = what;
    };
    for (const auto& cgroup : topmost(steered.workloads, machine.cgroups)) {
        put(cgroup, STEER_WORKLOAD_STEER);
    }
    if (!steered.pods) {
        for (const auto& cgroup : topmost(pod_parents(), machine.cgroups)) {
            put(cgroup, STEER_WORKLOAD_LEAVE);
        }
    }
    if (machine.pods.empty()) {
        return result;
    }
    auto found = find_pod_cgroups(machine.pods, machine.cgroups);
    for (const auto& cgroup : machine.cgroups) {
        auto entry = found.find(cgroup.path);
        if (entry == found.end()) {
            continue;
        }
        const auto& pod = machine.pods[entry->second];
        // What somebody said of the pod holds whatever is around it; the default only leaves out.
        if (!pod.accelerate && steered.pods) {
            continue;
        }
        auto what = pod.accelerate.value_or(false) ? STEER_WORKLOAD_STEER : STEER_WORKLOAD_LEAVE;
        const auto* now = nearest(result, cgroup.path);
        if (what != (now ? *now : STEER_WORKLOAD_LEAVE)) {
            put(cgroup, what);
        }
    }
    return result;
}

bool is_steered(const Steering& steering, std::string path) {
    const auto* what = nearest(steering, std::move(path));
    return what && *what == STEER_WORKLOAD_STEER;
}

const std::vector<Workload>& pod_parents() {
    static const std::vector<Workload> known = [] {
        std::vector<Workload> list;
        for (const char* path : {"/kubepods", "/kubepods.slice", "/system.slice/crio-*.scope",
                                 "/system.slice/cri-containerd-*.scope", "/k8s.io"}) {
            list.push_back({WorkloadKind::cgroup, path});
        }
        return list;
    }();
    return known;
}

}  // namespace smc_steer
