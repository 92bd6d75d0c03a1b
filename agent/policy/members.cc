// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/members.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>

namespace smc_steer {
namespace {

constexpr std::size_t kContainerKey = 12;  // digits that every id has

bool is_glob(const std::string& path) { return path.find_first_of("*?[\\") != std::string::npos; }

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Finds the workloads a control group begins without asking each of them.
class CgroupIndex {
public:
    explicit CgroupIndex(const std::vector<NamedWorkload>& workloads) {
        for (const auto& named : workloads) {
            const auto& value = named.workload.value;
            switch (named.workload.kind) {
                case WorkloadKind::cgroup:
                    if (is_glob(value)) {
                        globs_.push_back(&named);
                    } else {
                        paths_[value].push_back(&named);
                    }
                    break;
                case WorkloadKind::unit:
                    units_[value].push_back(&named);
                    break;
                case WorkloadKind::container:
                    containers_[value.substr(0, kContainerKey)].push_back(&named);
                    break;
                case WorkloadKind::pod:
                case WorkloadKind::pod_space:
                case WorkloadKind::label:
                    pods_.push_back(&named);
                    break;
                default:
                    break;
            }
        }
    }

    bool asks_for_pods() const { return !pods_.empty(); }

    // `pod`: the one that begins in this control group; null: none.
    std::vector<const NamedWorkload*> find(const std::string& path, const Pod* pod) const {
        std::vector<const NamedWorkload*> found;
        for (const auto* named : pods_) {
            if (pod && names_pod(named->workload, *pod)) {
                found.push_back(named);
            }
        }
        auto take = [&](const Table& table, const std::string& key) {
            if (auto entry = table.find(key); entry != table.end()) {
                add(entry->second, path, found);
            }
        };
        take(paths_, path);
        add(globs_, path, found);
        auto name = name_of(path);
        take(units_, name);
        for (std::size_t at = 0; !containers_.empty() && at + kContainerKey <= name.size(); at++) {
            if (at == 0 || name[at - 1] == '-') {
                take(containers_, name.substr(at, kContainerKey));
            }
        }
        return found;
    }

private:
    using List = std::vector<const NamedWorkload*>;
    using Table = std::unordered_map<std::string, List>;
    static void add(const List& list, const std::string& path, List& found) {
        for (const auto* named : list) {
            if (names_cgroup(named->workload, path) &&
                std::find(found.begin(), found.end(), named) == found.end()) {
                found.push_back(named);
            }
        }
    }

    Table paths_, units_, containers_;
    List globs_, pods_;
};

void extend(steer_chain& chain, const NamedWorkload& named) {
    if (chain.count < STEER_CHAIN_MAX) {
        chain.id[chain.count] = named.id;
    }
    // One more than there is room for says "too many" and does not grow further.
    chain.count = static_cast<std::uint16_t>(std::min(chain.count + 1, STEER_CHAIN_MAX + 1));
    chain.never |= named.never ? 1 : 0;
}

steer_subject subject(steer_subject_kind kind, std::uint64_t number) {
    steer_subject s;
    std::memset(&s, 0, sizeof(s));  // both members of the union
    s.kind = kind;
    s.number = number;
    return s;
}

void add_cgroups(const std::vector<NamedWorkload>& workloads, const Machine& machine,
                 Subjects& subjects) {
    CgroupIndex index(workloads);
    PodCgroups pods;
    if (index.asks_for_pods()) {
        pods = find_pod_cgroups(machine.pods, machine.cgroups);
    }
    std::unordered_map<std::string, steer_chain> chains;  // of the control groups with one
    auto inherited = [&chains](std::string path) {
        for (; !path.empty(); path = around(path)) {
            if (auto entry = chains.find(path); entry != chains.end()) {
                return entry->second;
            }
        }
        auto root = chains.find("/");
        return root == chains.end() ? steer_chain{} : root->second;
    };
    for (const auto& cgroup : machine.cgroups) {
        auto pod = pods.find(cgroup.path);
        auto begun =
            index.find(cgroup.path, pod == pods.end() ? nullptr : &machine.pods[pod->second]);
        if (begun.empty()) {
            continue;
        }
        auto chain = cgroup.path == "/" ? steer_chain{} : inherited(around(cgroup.path));
        for (const auto* named : begun) {
            extend(chain, *named);
        }
        chains[cgroup.path] = chain;
        subjects[subject(STEER_SUBJECT_CGROUP, cgroup.id)] = chain;
    }
}

}  // namespace

Subjects members(const std::vector<NamedWorkload>& workloads, const Machine& machine) {
    Subjects subjects;
    for (const auto& named : workloads) {
        const auto& value = named.workload.value;
        std::uint64_t number = 0;
        auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
        bool is_number = parsed.ec == std::errc() && parsed.ptr == value.data() + value.size();
        switch (named.workload.kind) {
            case WorkloadKind::uid:
                extend(subjects[subject(STEER_SUBJECT_UID, number)], named);
                break;
            case WorkloadKind::netns:
                if (auto entry = machine.netns.find(value); entry != machine.netns.end()) {
                    extend(subjects[subject(STEER_SUBJECT_NETNS, entry->second)], named);
                } else if (is_number) {
                    extend(subjects[subject(STEER_SUBJECT_NETNS, number)], named);
                }
                break;
            case WorkloadKind::command: {
                auto s = subject(STEER_SUBJECT_COMMAND, 0);
                value.copy(s.command, sizeof(s.command) - 1);
                extend(subjects[s], named);
                break;
            }
            default:
                break;
        }
    }
    add_cgroups(workloads, machine, subjects);
    return subjects;
}

bool depends_on_machine(const std::vector<NamedWorkload>& workloads) {
    return std::any_of(workloads.begin(), workloads.end(), [](const NamedWorkload& named) {
        return named.workload.is_cgroup() || named.workload.kind == WorkloadKind::netns;
    });
}

std::vector<CgroupEntry> topmost(const std::vector<Workload>& wanted,
                                 const std::vector<CgroupEntry>& cgroups) {
    std::vector<CgroupEntry> found;
    std::set<std::string> taken;
    for (const auto& cgroup : cgroups) {
        bool inside = taken.contains("/");
        for (auto path = around(cgroup.path); !inside && !path.empty(); path = around(path)) {
            inside = taken.contains(path);
        }
        bool named = std::any_of(wanted.begin(), wanted.end(), [&cgroup](const Workload& workload) {
            return names_cgroup(workload, cgroup.path);
        });
        if (named && !inside) {
            taken.insert(cgroup.path);
            found.push_back(cgroup);
        }
    }
    return found;
}

const std::vector<Workload>& all_workloads() {
    static const std::vector<Workload> all{{WorkloadKind::cgroup, "/"}};
    return all;
}

const std::vector<Workload>& container_cgroups() {
    static const std::vector<Workload> known = [] {
        std::vector<Workload> list;
        for (const char* path :
             {"/kubepods", "/kubepods.slice", "/docker", "/system.slice/docker-*.scope",
              "/system.slice/crio-*.scope", "/system.slice/cri-containerd-*.scope",
              "/machine.slice/libpod-*.scope", "/machine.slice/systemd-nspawn@*.service",
              "/machine.slice/machine-*.scope", "/libpod_parent/libpod-*",
              "/user.slice/user-*.slice/user@*.service/user.slice/libpod-*.scope",
              "/user.slice/user-*.slice/user@*.service/app.slice/docker-*.scope", "/lxc.payload.*",
              "/lxc/*", "/containerd", "/k8s.io", "/default", "/moby"}) {
            list.push_back({WorkloadKind::cgroup, path});
        }
        return list;
    }();
    return known;
}

}  // namespace smc_steer
