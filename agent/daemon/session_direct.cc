// SPDX-License-Identifier: Apache-2.0
// What the direct path asks of a session: who the peers are, and what the rules say.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "agent/base/clock.h"
#include "agent/daemon/session.h"
#include "agent/policy/verdicts.h"
#include "agent/workloads/machine.h"
#include "agent/workloads/socket_owner.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kFreshNs = 1'000'000'000;

bool names_netns(const std::string& value, ino_t netns, const Machine& machine) {
    if (auto named = machine.netns.find(value); named != machine.netns.end()) {
        return named->second == netns;
    }
    return value == fmt::to_string(netns);
}

}  // namespace

std::map<ino_t, int> Session::direct_namespaces() {
    std::map<ino_t, int> all;
    for (const auto& [id, fd] : namespaces_->covered()) {
        all[id.inode] = fd;
    }
    return all;
}

Result<std::vector<TcpSocket>> Session::direct_sockets(ino_t netns, TcpDetail detail) {
    return namespaces_->sockets(netns, detail);
}

Guest Session::guest_at(const Address& address) {
    auto entry = same_host_.addresses.find(address);
    return entry == same_host_.addresses.end() || !entry->second.offload_port
               ? Guest{}
               : Guest{entry->second.slot, entry->second.generation};
}

// sock_diag does not tell who called whom: whose port is listened on is the server. A server may
// have closed its listener, or opened it a moment ago: who is none here may be one.
bool Session::is_server(const Seen& seen) {
    auto now = monotonic_ns();
    auto& [since, ports] = listening_[seen.netns];
    if (!since || now - since > kFreshNs) {
        if (auto fresh = namespaces_->listening(seen.netns)) {
            ports = std::move(*fresh);
        }
        since = now;
    }
    return ports.contains(seen.socket.addresses.local_port);
}

// None: the control group is not known (any more).
std::optional<std::string> Session::cgroup_path(std::uint64_t id) {
    if (!id) {
        return "/";  // a kernel that does not tell
    }
    auto now = monotonic_ns();
    if (!cgroup_paths_.contains(id) && now - cgroup_paths_ns_ > kFreshNs) {
        cgroup_paths_ns_ = now;
        auto all = list_cgroups();
        cgroup_paths_.clear();
        judged_pods_ = machine_.pods;
        pod_cgroups_ = find_pod_cgroups(judged_pods_, all);
        for (auto& cgroup : all) {
            cgroup_paths_.emplace(cgroup.id, std::move(cgroup.path));
        }
    }
    auto known = cgroup_paths_.find(id);
    return known == cgroup_paths_.end() ? std::nullopt : std::optional(known->second);
}

// Rules about commands deny: whose program is not known (yet) is taken for the one that is meant.
bool Session::may_be_command(const Seen& seen, const std::string& command) {
    auto now = monotonic_ns();
    if (now - commands_ns_ > kFreshNs) {
        commands_ = socket_commands();
        commands_ns_ = now;
    }
    auto known = commands_.find(seen.socket.inode);
    return known == commands_.end() || known->second.contains(command);
}

bool Session::belongs(const Seen& seen, const std::string& cgroup, const Workload& workload) {
    switch (workload.kind) {
        case WorkloadKind::uid:
            return workload.value == fmt::to_string(seen.socket.uid);
        case WorkloadKind::netns:
            return names_netns(workload.value, seen.netns, machine_);
        case WorkloadKind::command:
            return may_be_command(seen, workload.value);
        case WorkloadKind::pod:
        case WorkloadKind::pod_space:
        case WorkloadKind::label: {
            const auto* pod = pod_of_cgroup(judged_pods_, pod_cgroups_, cgroup);
            return pod && names_pod(workload, *pod);
        }
        case WorkloadKind::cgroup:
        case WorkloadKind::unit:
        case WorkloadKind::container:
            break;
    }
    return is_around(workload, cgroup);
}

std::string Session::why_denied(const Seen& seen) {
    auto cgroup = cgroup_path(seen.socket.cgroup);
    if (!cgroup) {
        return "its control group is not known";
    }
    if (!is_steered(steering_, *cgroup)) {
        return "its workload is not among those that agent.yaml names, or its pod is annotated so";
    }
    if (!policy_) {
        return "there are no rules yet";
    }
    const auto& addresses = seen.socket.addresses;
    auto explained = [&](Direction way, std::uint16_t port) {
        Connection connection{way, port, addresses.peer.in6, {}};
        connection.is_of = [&](const Workload& workload) {
            return belongs(seen, *cgroup, workload);
        };
        return explain(*policy_, connection, Via::direct);
    };
    auto as_server = explained(Direction::in, addresses.local_port);
    if (is_server(seen)) {
        return as_server.action == Action::allow ? "" : to_string(as_server);
    }
    // A rule that denies this port denies it whether or not its listener is still there.
    if (as_server.action == Action::deny && as_server.rule) {
        return to_string(as_server);
    }
    auto as_client = explained(Direction::out, addresses.peer_port);
    return as_client.action == Action::allow ? "" : to_string(as_client);
}

// As it is now: the number in it changes all the time.
std::optional<Nonce> Session::nonce_of_peer(std::uint32_t slot) {
    if (!peers_.contains(slot)) {
        return std::nullopt;
    }
    auto bulletin = read_bulletin(bulletin_of(device_.region(), slot));
    if (!bulletin || !bulletin->offload_port) {
        return std::nullopt;
    }
    return bulletin->nonce;
}

void Session::publish_nonce(const Nonce& nonce) {
    nonce_ = nonce;
    if (!published_) {
        return;  // with the addresses, soon
    }
    if (auto done = publish(); !done) {
        spdlog::error("{}", done.error().message);
    }
}

void Session::update_direct_peers() {
    if (!direct_) {
        return;
    }
    auto peers = agent_peers(same_host_, &PeerRef::offload_port);
    // The agent's own are where its bulletin begins; those of pods lead to pods.
    for (auto& [slot, peer] : peers) {
        if (auto known = peers_.find(slot); known != peers_.end()) {
            const auto& order = known->second.bulletin.addresses;
            std::stable_sort(peer.addresses.begin(), peer.addresses.end(),
                             [&](const Address& one, const Address& other) {
                                 return std::find(order.begin(), order.end(), one) <
                                        std::find(order.begin(), order.end(), other);
                             });
        }
    }
    direct_->set_peers(info_.slot, info_.generation, std::move(peers));
}

void Session::judge_direct() {
    cgroup_paths_.clear();
    cgroup_paths_ns_ = 0;
    if (direct_) {
        direct_->judge();
    }
}

}  // namespace smc_steer
