// SPDX-License-Identifier: Apache-2.0
// Which sockets a session has steered: control groups and pods that come and go.
#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <algorithm>
#include <ctime>

#include "agent/daemon/session.h"
#include "agent/workloads/machine.h"

namespace smc_steer {
namespace {

using nlohmann::json;

// What a runtime that answers needs; one that hangs may not hold up the start.
constexpr auto kFirstAnswer = std::chrono::milliseconds(500);
constexpr unsigned kTicksBetweenScans = 10;
constexpr auto kMountedSoon = std::chrono::milliseconds(50);

std::uint64_t realtime_ns() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

std::string_view last_component(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool of_container(const std::string& path) {
    auto name = last_component(path);
    return !container_of_cgroup(name).empty() || !pod_uid_of_cgroup(name).empty();
}

const char* why(const Pod& pod) { return pod.accelerate ? "annotation" : "default"; }

}  // namespace

// Before the first policy, which wants to know who belongs to its workloads.
Result<void> Session::watch_machine() {
    cgroups_ = std::make_unique<CgroupWatch>();
    if (config_.cri == "off") {
        return {};
    }
    auto cri = CriPods::start(
        loop_, config_.cri == "auto" ? cri_sockets() : std::vector<std::string>{config_.cri},
        [this] { follow_machine({}); });
    if (!cri) {
        return tl::unexpected(cri.error());
    }
    cri_ = std::move(*cri);
    cri_->wait_for_first(kFirstAnswer);
    return {};
}

Result<void> Session::listen_to_machine() {
    if (cgroups_->fd() < 0) {
        spdlog::warn("no inotify: new control groups are found by looking, twice a second");
        return {};
    }
    auto changed = loop_.on_io(cgroups_->fd(), EPOLLIN, [this](std::uint32_t) {
        auto found = cgroups_->read_events();
        if (follows_machine()) {
            follow_machine(found);
        }
        if (!found.empty()) {
            scan_namespaces_soon();
        }
    });
    if (!changed) {
        return tl::unexpected(changed.error());
    }
    cgroups_changed_ = std::move(*changed);
    return {};
}

Machine Session::read_machine() const {
    return {cgroups_->list(), list_named_netns(), cri_ ? cri_->pods() : std::vector<Pod>{}};
}

bool Session::follows_machine() const {
    return config_.workloads != all_workloads() || !config_.pods || (cri_ && cri_->asks()) ||
           depends_on_machine(rule_workloads_);
}

// inotify has told of most of them before.
std::vector<NewCgroup> Session::look_for_cgroups() {
    bool due = ++looks_ % kTicksBetweenScans == 0;
    return due || cgroups_->unwatched() ? cgroups_->scan() : std::vector<NewCgroup>{};
}

void Session::follow_machine(const std::vector<NewCgroup>& found) {
    if (!ready_) {
        return;
    }
    auto machine = read_machine();
    if (machine == machine_) {
        return;
    }
    machine_ = std::move(machine);
    Result<void> done;
    if (datapath_) {
        done = datapath_->stores().set_subjects(members(rule_workloads_, machine_));
    }
    if (!done) {
        spdlog::error("{}", done.error().message);
        machine_ = {};  // again at the next tick
        return;
    }
    note_coverage(found, update_workloads());
    report_pod_changes();
    judge_direct();
}

std::set<std::uint64_t> Session::update_workloads() {
    steering_ = smc_steer::steering({config_.workloads, config_.pods}, machine_);
    std::set<std::uint64_t> entered;
    if (!datapath_) {
        for (const auto& [id, what] : steering_.ids) {
            if (workloads_.insert_or_assign(id, what).second) {
                entered.insert(id);
            }
        }
        std::erase_if(workloads_,
                      [&](const auto& entry) { return !steering_.ids.contains(entry.first); });
        return entered;
    }
    auto& stores = datapath_->stores();
    for (const auto& [id, what] : steering_.ids) {
        if (auto now = workloads_.find(id); now != workloads_.end() && now->second == what) {
            continue;
        }
        if (auto done = stores.set_workload(id, what); !done) {
            spdlog::error("{}", done.error().message);
            continue;
        }
        workloads_[id] = what;
        entered.insert(id);
    }
    for (auto it = workloads_.begin(); it != workloads_.end();) {
        if (steering_.ids.contains(it->first)) {
            ++it;
            continue;
        }
        if (auto done = stores.remove_workload(it->first); !done) {
            spdlog::error("{}", done.error().message);
            ++it;
            continue;
        }
        it = workloads_.erase(it);
    }
    return entered;
}

void Session::note_coverage(const std::vector<NewCgroup>& found,
                            const std::set<std::uint64_t>& entered) {
    auto now = realtime_ns();
    auto pods = find_pod_cgroups(machine_.pods, machine_.cgroups);
    bool expected = false;
    auto late = [&](const CgroupEntry& cgroup, std::uint64_t since) {
        if (!entered.contains(cgroup.id)) {
            return false;
        }
        coverage_.add(now > since ? now - since : 0);
        return true;
    };
    std::set<std::string> there;
    for (const auto& cgroup : machine_.cgroups) {
        auto waiting = unknown_pods_.find(cgroup.path);
        if (waiting == unknown_pods_.end()) {
            continue;
        }
        bool same = waiting->second.cgroup.id == cgroup.id;
        if (same && pod_of_cgroup(machine_.pods, pods, cgroup.path)) {
            late(cgroup, waiting->second.since_ns);
        } else if (same) {
            there.insert(cgroup.path);
        }
    }
    std::erase_if(unknown_pods_, [&](const auto& entry) { return !there.contains(entry.first); });
    for (const auto& cgroup : found) {
        const auto& path = cgroup.cgroup.path;
        bool container = of_container(path);
        if (!late(cgroup.cgroup, cgroup.since_ns) && container && is_steered(steering_, path)) {
            coverage_.add_inside();
        }
        if (container && !pod_of_cgroup(machine_.pods, pods, path)) {
            unknown_pods_[path] = cgroup;
            expected = true;
        }
    }
    if (cri_ && (expected || unknown_pods_.empty())) {
        cri_->expect(expected);
    }
}

void Session::scan_namespaces_soon() {
    if (scan_soon_.active()) {
        return;
    }
    auto later = loop_.after(kMountedSoon, [this] {
        scan_soon_.reset();
        scan_namespaces();
    });
    if (later) {
        scan_soon_ = std::move(*later);
    }
}

// Pods with the control groups they have, and what becomes of them.
std::vector<Session::PodState> Session::pod_states() const {
    std::vector<PodState> states(machine_.pods.size());
    for (std::size_t i = 0; i < states.size(); i++) {
        states[i].pod = &machine_.pods[i];
    }
    for (const auto& [path, pod] : find_pod_cgroups(machine_.pods, machine_.cgroups)) {
        states[pod].cgroups.push_back(path);
        states[pod].steered = states[pod].steered || is_steered(steering_, path);
    }
    for (auto& state : states) {
        std::sort(state.cgroups.begin(), state.cgroups.end());
    }
    return states;
}

void Session::report_pod_changes() {
    if (!on_pod_) {
        return;
    }
    std::map<std::string, json> now;
    for (const auto& state : pod_states()) {
        if (!state.cgroups.empty()) {
            now[to_string(*state.pod)] = {{"event", "pod"},
                                          {"pod", to_string(*state.pod)},
                                          {"steered", state.steered},
                                          {"why", why(*state.pod)}};
        }
    }
    for (const auto& [name, line] : now) {
        auto before = reported_pods_.find(name);
        if (before == reported_pods_.end() || before->second != line) {
            on_pod_(line);
        }
    }
    for (const auto& [name, line] : reported_pods_) {
        if (!now.contains(name)) {
            on_pod_({{"event", "pod_gone"}, {"pod", name}});
        }
    }
    reported_pods_ = std::move(now);
}

json Session::report_pods() const {
    json list = json::array();
    for (const auto& state : pod_states()) {
        const auto& pod = *state.pod;
        list.push_back({
            {"namespace", pod.space},
            {"name", pod.name},
            {"uid", pod.uid},
            {"steered", state.steered},
            {"why", state.cgroups.empty() ? "no control group" : why(pod)},
            {"annotation", pod.accelerate ? json(*pod.accelerate) : json()},
            {"complaint", pod.complaint},
            {"labels", pod.labels},
            {"cgroups", state.cgroups},
        });
    }
    return list;
}

// The parts of status.
void Session::report_workloads(json& out) const {
    std::size_t known = 0, steered = 0;
    for (const auto& state : pod_states()) {
        known++;
        steered += state.steered;
    }
    json runtimes = json::array();
    for (const auto& runtime : cri_ ? cri_->runtimes() : std::vector<CriState>{}) {
        runtimes.push_back({{"socket", runtime.socket},
                            {"runtime", runtime.runtime},
                            {"pods", runtime.pods.size()},
                            {"problem", runtime.problem}});
    }
    out["pods"] = {
        {"known", known},
        {"steered", steered},
        {"default", config_.pods ? "on" : "off"},
        {"cri", config_.cri},
        {"runtimes", std::move(runtimes)},
    };
    auto count = coverage_.count();
    json buckets = json::array();
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < Coverage::kBoundsMs.size(); i++) {
        below += coverage_.counts()[i];
        buckets.push_back({{"le_milliseconds", Coverage::kBoundsMs[i]}, {"count", below}});
    }
    out["coverage"] = {
        {"inside", coverage_.inside()},
        {"late", count},
        {"seconds", static_cast<double>(coverage_.sum_ns()) / 1e9},
        {"max_seconds", static_cast<double>(coverage_.most_ns()) / 1e9},
        {"buckets", std::move(buckets)},
        {"unwatched", cgroups_->unwatched()},
    };
    out["addresses"] = {
        {"publishable", guest_addresses_.publishable()},
        {"published", bulletin_.size()},
        {"left_out", guest_addresses_.publishable() - bulletin_.size()},
        {"room", IVPCI_BULLETIN_ADDRESSES},
    };
}

}  // namespace smc_steer
