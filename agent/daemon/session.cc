// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/session.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/clock.h"
#include "agent/base/version.h"
#include "agent/kernel/eid.h"
#include "agent/policy/tables.h"
#include "agent/workloads/machine.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kLeaseNs = 3'000'000'000;

std::string host_name() {
    char name[256] = "";
    gethostname(name, sizeof(name) - 1);
    return name;
}

}  // namespace

Result<std::unique_ptr<Session>> Session::start(EventLoop& loop, const Config& config,
                                                const Policy& policy,
                                                std::function<void()> on_lost) {
    auto path = find_device(config.device);
    if (!path) {
        return tl::unexpected(path.error());
    }
    auto device = Device::open(*path);
    if (!device) {
        return tl::unexpected(device.error());
    }
    std::unique_ptr<Session> self(
        new Session(loop, config, std::move(on_lost), std::move(*device)));
    // On failure ~Session undoes as much as was done.
    if (auto done = self->bring_up(policy); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Result<void> Session::bring_up(const Policy& policy) {
    auto info = device_.info();
    if (!info) {
        return tl::unexpected(info.error());
    }
    info_ = *info;
    auto datapath = Datapath::load();
    if (!datapath) {
        return tl::unexpected(datapath.error());
    }
    datapath_ = std::move(*datapath);
    if (config_.bpf_stats) {
        if (auto done = datapath_->count_costs(); !done) {
            spdlog::warn("{}", done.error().message);
        }
    }

    if (auto done = set_policy(policy); !done) {
        return done;
    }
    if (workloads_.empty()) {
        spdlog::warn("no control group of the workloads to be steered exists (yet)");
    }
    if (auto done = renew_lease(); !done) {
        return done;
    }
    if (auto done = add_eid(); !done) {
        return done;
    }
    if (auto done = datapath_->attach_flows(); !done) {
        return done;
    }
    if (auto done = datapath_->register_handshake(); !done) {
        return done;
    }

    namespaces_ = std::make_unique<Namespaces>(
        loop_, SmcSysctls{datapath_->handshake_name(), config_.wmem, config_.rmem},
        config_.exclude_interfaces, [this] { update_addresses(); });
    namespaces_->scan();
    if (namespaces_->size() == 0) {
        return fail("no network namespace could be prepared, see above");
    }
    auto stale = datapath_->drop_stale_handshakes();
    if (!stale) {
        return tl::unexpected(stale.error());
    }
    if (*stale) {
        spdlog::info("replaced the handshake of an agent that did not end by itself");
    }

    auto links = Links::listen(loop_, config_.link_port, [this] { update_peers(); });
    if (!links) {
        return tl::unexpected(links.error());
    }
    links_ = std::move(*links);

    update_addresses();
    auto events = loop_.on_io(device_.fd(), EPOLLPRI | EPOLLHUP,
                              [this](std::uint32_t what) { on_device(what); });
    if (!events) {
        return tl::unexpected(events.error());
    }
    device_events_ = std::move(*events);
    update_peers();
    return datapath_->attach_steer();
}

Session::~Session() {
    device_events_.reset();
    links_.reset();
    if (datapath_) {
        datapath_->detach_steer();
        if (auto done = datapath_->stores().set_lease(0); !done) {
            spdlog::warn("{}", done.error().message);
        }
    }
    if (namespaces_) {
        namespaces_->restore();
    }
    if (datapath_) {
        datapath_->unregister_handshake();
    }
    if (remove_eid_) {
        if (auto done = smc_->remove_ueid(eid_); !done) {
            spdlog::warn("{}", done.error().message);
        }
    }
    // ~Device closes the file, and the driver empties the bulletin.
}

Result<void> Session::set_policy(const Policy& policy) {
    auto tables = compile(policy);
    if (!tables) {
        return tl::unexpected(tables.error());
    }
    machine_ = read_machine();
    auto done = datapath_->stores().set_policy(*tables, members(tables->workloads, machine_));
    if (done) {
        rule_workloads_ = std::move(tables->workloads);
        update_workloads();
    }
    return done;
}

Result<void> Session::add_eid() {
    auto smc = SmcNetlink::open();
    if (!smc) {
        return tl::unexpected(smc.error());
    }
    smc_ = std::make_unique<SmcNetlink>(std::move(*smc));
    bool derived = config_.eid == "auto";
    if (derived) {
        std::array<std::uint8_t, 16> uuid{};
        std::copy(std::begin(info_.uuid), std::end(info_.uuid), uuid.begin());
        eid_ = eid_of_region(uuid);
    } else {
        eid_ = config_.eid;
    }
    auto added = smc_->add_ueid(eid_);
    if (!added) {
        return tl::unexpected(added.error());
    }
    // One that was there is somebody's, unless only an agent can have made it.
    remove_eid_ = *added || derived;
    return {};
}

Result<void> Session::renew_lease() {
    return datapath_->stores().set_lease(monotonic_ns() + kLeaseNs, config_.link_port);
}

Machine Session::read_machine() const { return {list_cgroups(), list_named_netns()}; }

bool Session::follows_machine() const {
    return config_.workloads != all_workloads() || depends_on_machine(rule_workloads_);
}

void Session::follow_machine() {
    auto machine = read_machine();
    if (machine == machine_) {
        return;
    }
    machine_ = std::move(machine);
    auto done = datapath_->stores().set_subjects(members(rule_workloads_, machine_));
    if (!done) {
        spdlog::error("{}", done.error().message);
        machine_ = {};  // again at the next tick
        return;
    }
    update_workloads();
}

// Which sockets become SMC sockets at all.
void Session::update_workloads() {
    std::set<std::uint64_t> wanted;
    for (const auto& cgroup : topmost(config_.workloads, machine_.cgroups)) {
        wanted.insert(cgroup.id);
    }
    auto& stores = datapath_->stores();
    for (auto id : wanted) {
        if (workloads_.contains(id)) {
            continue;
        }
        if (auto done = stores.add_workload(id); !done) {
            spdlog::error("{}", done.error().message);
            continue;
        }
        workloads_.insert(id);
    }
    for (auto it = workloads_.begin(); it != workloads_.end();) {
        if (wanted.contains(*it)) {
            ++it;
            continue;
        }
        if (auto done = stores.remove_workload(*it); !done) {
            spdlog::error("{}", done.error().message);
            ++it;
            continue;
        }
        it = workloads_.erase(it);
    }
}

void Session::update_addresses() {
    auto addresses = namespaces_->addresses();
    if (published_ && addresses == own_addresses_) {
        return;
    }
    own_addresses_ = std::move(addresses);
    if (own_addresses_.size() > IVPCI_BULLETIN_ADDRESSES) {
        spdlog::warn(
            "{} addresses, the bulletin has room for {}: the rest stays plain TCP; leave "
            "out what nobody connects to with publish.exclude_interfaces",
            own_addresses_.size(), IVPCI_BULLETIN_ADDRESSES);
    }
    Bulletin bulletin{kVersionNumber,
                      host_name(),
                      {own_addresses_.begin(), own_addresses_.end()},
                      config_.link_port};
    if (auto done = device_.publish(bulletin); !done) {
        spdlog::error("{}", done.error().message);
    } else {
        published_ = true;
    }
    update_peers();
}

void Session::update_peers() {
    peers_ = read_peers(device_.region(), info_.slot, peers_);
    auto wanted = same_host_of(peers_, own_addresses_);
    for (const auto& address : wanted.disputed) {
        if (!same_host_.disputed.contains(address)) {
            spdlog::warn("{} is published by two guests: connections to it stay plain TCP",
                         to_string(address));
        }
    }

    update_links(wanted);

    // What a failure leaves out of the map stays out of our picture, and is tried again.
    auto changes = diff(same_host_.addresses, wanted.addresses);
    auto& stores = datapath_->stores();
    for (const auto& address : changes.remove) {
        auto done = stores.remove_same_host(address);
        if (!done) {
            spdlog::error("{}", done.error().message);
            wanted.addresses[address] = same_host_.addresses[address];
        }
    }
    for (const auto& [address, ref] : changes.put) {
        auto done = stores.add_same_host(
            address, {ref.slot, ref.generation, ref.link_port, ref.linked ? 1U : 0U});
        if (!done) {
            spdlog::error("{}", done.error().message);
            wanted.addresses.erase(address);
        }
    }
    same_host_ = std::move(wanted);
}

// Nobody is steered to a peer before the agents have a link.
void Session::update_links(SameHost& wanted) {
    std::map<std::uint32_t, LinkPeer> peers;
    for (const auto& [address, ref] : wanted.addresses) {
        if (ref.link_port) {
            auto& peer = peers[ref.slot];
            peer.generation = ref.generation;
            peer.port = ref.link_port;
            peer.addresses.push_back(address);
        }
    }
    links_->set_peers(info_.slot, std::move(peers));
    for (auto& [address, ref] : wanted.addresses) {
        ref.linked = links_->up(ref.slot);
    }
}

void Session::on_device(std::uint32_t events) {
    if (events & (EPOLLHUP | EPOLLERR)) {
        device_events_.reset();
        on_lost_();
        return;
    }
    update_peers();
}

void Session::tick() {
    if (auto done = renew_lease(); !done) {
        spdlog::error("{}", done.error().message);
    }
    if (follows_machine()) {
        follow_machine();
    }
    if (auto info = device_.info()) {
        info_ = *info;
    }
    namespaces_->sample();
    bool changed = namespaces_->scan();
    if (changed || !published_) {
        update_addresses();
    } else {
        update_peers();
    }
}

}  // namespace smc_steer
