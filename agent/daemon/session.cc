// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/session.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/host.h"
#include "agent/base/version.h"
#include "agent/daemon/cleanup.h"
#include "agent/kernel/eid.h"
#include "agent/policy/tables.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kLeaseNs = 3'000'000'000;
constexpr std::uint64_t kHandoverNs = 30'000'000'000;

}  // namespace

Result<std::unique_ptr<Session>> Session::start(EventLoop& loop, const Config& config,
                                                const Policy& policy, const std::string& state_path,
                                                Inheritance inherited, Paths paths,
                                                std::function<void()> on_lost) {
    auto path = find_device(config.device);
    if (!path) {
        return tl::unexpected(path.error());
    }
    auto device = inherited.device && inherited.device_path == *path
                      ? Device::take_over(*path, std::move(inherited.device))
                      : Device::open(*path);
    if (!device) {
        return tl::unexpected(device.error());
    }
    std::unique_ptr<Session> self(
        new Session(loop, config, state_path, paths, std::move(on_lost), std::move(*device)));
    // On failure ~Session undoes as much as was done.
    if (auto done = self->bring_up(policy, std::move(inherited)); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Result<void> Session::bring_up(const Policy& policy, Inheritance inherited) {
    auto info = device_.info();
    if (!info) {
        return tl::unexpected(info.error());
    }
    info_ = *info;
    if (paths_.smc) {
        if (auto done = start_datapath(inherited); !done) {
            return done;
        }
    } else {
        leave_smc(inherited);
    }
    if (auto done = watch_machine(); !done) {
        return done;
    }
    if (auto done = set_policy(policy); !done) {
        return done;
    }
    if (steering_.ids.empty()) {
        spdlog::warn("no control group of the workloads to be steered exists (yet)");
    }
    std::optional<SmcSysctls> sysctls;
    if (paths_.smc) {
        if (auto done = start_smc(inherited); !done) {
            return done;
        }
        sysctls = {datapath_->handshake_name(), config_.wmem, config_.rmem,
                   config_.short_connections.step_back};
    }
    namespaces_ = std::make_unique<Namespaces>(
        loop_, std::move(sysctls),
        NotPublished{config_.exclude_interfaces, config_.exclude_networks},
        std::move(inherited.saved), [this] { update_addresses(); });
    namespaces_->scan();
    if (namespaces_->size() == 0) {
        return fail("no network namespace could be prepared, see above");
    }
    if (paths_.smc) {
        auto stale = datapath_->drop_stale_handshakes();
        if (!stale) {
            return tl::unexpected(stale.error());
        }
        if (*stale) {
            spdlog::info("replaced the handshake of the agent before");
        }
        auto links = Links::listen(loop_, config_.link_port, std::move(inherited.agents),
                                   [this] { update_peers(); });
        if (!links) {
            return tl::unexpected(links.error());
        }
        links_ = std::move(*links);
        // Many namespaces take a while.
        if (auto done = renew_lease(); !done) {
            return done;
        }
        write_state();
        if (auto done = datapath_->pin(); !done) {
            spdlog::warn("the next agent will count from zero: {}", done.error().message);
        }
    }
    watch_namespaces();
    if (auto done = listen_to_machine(); !done) {
        return done;
    }
    if (paths_.direct) {
        auto direct = DirectPath::start(loop_, config_.offload, device_.path(), *this);
        if (!direct && !paths_.smc) {
            return tl::unexpected(direct.error());
        }
        if (direct) {
            direct_ = std::move(*direct);
        } else {
            spdlog::warn("no connection is moved: {}", direct.error().message);
        }
    }
    update_addresses();
    auto events = loop_.on_io(device_.fd(), EPOLLPRI | EPOLLHUP,
                              [this](std::uint32_t what) { on_device(what); });
    if (!events) {
        return tl::unexpected(events.error());
    }
    device_events_ = std::move(*events);
    update_peers();
    if (!datapath_) {
        return {};
    }
    guard_services();
    return datapath_->attach_steer();
}

// The agent before may have had the SMC path: its settings would stay as long as this one runs.
void Session::leave_smc(Inheritance& inherited) {
    auto& saved = inherited.saved;
    if (saved.namespaces.empty() && saved.eid.empty()) {
        return;
    }
    std::vector<std::string> did;
    if (auto done = take_smc_back(saved, did); !done) {
        spdlog::warn("the agent before had the SMC path, and something of it stays: {}",
                     done.error().message);
    }
    for (const auto& line : did) {
        spdlog::info("the agent before had the SMC path: {}", line);
    }
    saved = {};
    remove_saved_state(state_path_);
}

// BPF's programs and what they decide by; nothing is attached yet.
Result<void> Session::start_datapath(Inheritance& inherited) {
    auto datapath = Datapath::load(Pins(), std::move(inherited.links));
    if (!datapath) {
        return tl::unexpected(datapath.error());
    }
    datapath_ = std::move(*datapath);
    if (config_.bpf_stats) {
        if (auto done = datapath_->count_costs(); !done) {
            spdlog::warn("{}", done.error().message);
        }
    }
    return {};
}

Result<void> Session::start_smc(Inheritance& inherited) {
    if (auto done = renew_lease(); !done) {
        return done;
    }
    if (auto done = add_eid(); !done) {
        return done;
    }
    if (inherited.saved.eid == eid_) {
        remove_eid_ = remove_eid_ || inherited.saved.remove_eid;
    }
    if (const auto& limits = config_.short_connections; limits.step_back) {
        auto done = datapath_->measure_lengths(static_cast<std::uint64_t>(limits.bytes),
                                               limits.milliseconds * std::uint64_t{1'000'000});
        if (!done) {
            spdlog::warn("short connections are not left to TCP: {}", done.error().message);
        }
    }
    if (auto done = datapath_->attach_flows(); !done) {
        return done;
    }
    return datapath_->register_handshake();
}

Session::~Session() {
    device_events_.reset();
    cgroups_changed_.reset();
    cri_.reset();
    direct_.reset();
    links_.reset();
    netns_directories_.clear();
    scan_soon_.reset();
    stop_listening();
    device_news_.reset();
    if (datapath_) {
        datapath_->detach_steer();
    }
    if (datapath_) {
        if (auto done = datapath_->stores().set_lease(0); !done) {
            spdlog::warn("{}", done.error().message);
        }
    }
    if (namespaces_) {
        namespaces_->restore();
        if (paths_.smc) {
            remove_saved_state(state_path_);
        }
    }
    if (datapath_) {
        datapath_->unregister_handshake();
        datapath_->unpin();
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
    auto found = cgroups_->scan();
    machine_ = read_machine();
    Result<void> done;
    if (datapath_) {
        done = datapath_->stores().set_policy(*tables, members(tables->workloads, machine_));
    }
    if (done) {
        policy_ = std::make_shared<const Policy>(policy);
        rule_workloads_ = std::move(tables->workloads);
        auto entered = update_workloads();
        if (std::exchange(ready_, true)) {
            note_coverage(found, entered);
        }
        judge_direct();
    }
    return done;
}

// Without the guard services are what they were: plain TCP.
void Session::guard_services() {
    if (config_.services.empty()) {
        return;
    }
    auto done = datapath_->guard_services(config_.services);
    if (done) {
        auto* guards = datapath_->guards();
        auto news = loop_.on_io(guards->fd(), EPOLLIN, [this, guards](std::uint32_t) {
            guards->drain();
            refresh_guards();
        });
        if (news) {
            device_news_ = std::move(*news);
            refresh_guards();
            return;
        }
        done = tl::unexpected(news.error());
    }
    guards_problem_ = done.error().message;
    spdlog::warn("services stay plain TCP: {}", guards_problem_);
}

void Session::refresh_guards() {
    std::string problem;
    if (auto done = datapath_->guards()->refresh(); !done) {
        problem = done.error().message;
    }
    if (problem != guards_problem_ && !problem.empty()) {
        spdlog::warn("services stay plain TCP: {}", problem);
    }
    guards_problem_ = std::move(problem);
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
    return datapath_ ? datapath_->stores().set_lease(monotonic_ns() + kLeaseNs, config_.link_port)
                     : Result<void>{};
}

void Session::update_addresses() {
    auto addresses = namespaces_->addresses();
    if (published_ && addresses == guest_addresses_) {
        return;
    }
    guest_addresses_ = std::move(addresses);
    own_addresses_ = guest_addresses_.all();
    auto left_out = guest_addresses_.publishable() > IVPCI_BULLETIN_ADDRESSES;
    if (left_out && !addresses_left_out_) {
        spdlog::warn(
            "{} addresses, the bulletin has room for {}: the rest stays plain TCP; leave "
            "out what nobody connects to with publish.exclude_interfaces or exclude_networks",
            guest_addresses_.publishable(), IVPCI_BULLETIN_ADDRESSES);
    }
    addresses_left_out_ = left_out;
    bulletin_ = choose_published(guest_addresses_, bulletin_, IVPCI_BULLETIN_ADDRESSES);
    if (auto done = publish(); !done) {
        spdlog::error("{}", done.error().message);
    } else {
        published_ = true;
    }
    update_peers();
}

Result<void> Session::publish() {
    return device_.publish({kVersionNumber,
                            host_name(),
                            {bulletin_.begin(), bulletin_.end()},
                            links_ ? config_.link_port : std::uint16_t{0},
                            direct_ ? config_.offload.port : std::uint16_t{0},
                            nonce_});
}

void Session::update_peers() {
    peers_ = read_peers(device_.region(), info_.slot, peers_);
    auto wanted = same_host_of(peers_, own_addresses_, config_.exclude_networks);
    for (const auto& address : wanted.disputed) {
        if (!same_host_.disputed.contains(address)) {
            spdlog::warn("{} is published by two guests: connections to it stay plain TCP",
                         to_string(address));
        }
    }

    if (links_) {
        update_links(wanted);
    }
    if (!datapath_) {
        same_host_ = std::move(wanted);
        update_direct_peers();
        return;
    }

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
    update_direct_peers();
}

// Nobody is steered to a peer before the agents have a link.
void Session::update_links(SameHost& wanted) {
    links_->set_peers(info_.slot, agent_peers(wanted, &PeerRef::link_port));
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
    if (cri_) {
        cri_->refresh();
    }
    if (follows_machine()) {
        follow_machine(look_for_cgroups());
    }
    if (auto info = device_.info()) {
        info_ = *info;
    }
    namespaces_->sample();
    if (device_news_.active() && !datapath_->guards()->offers()) {
        refresh_guards();
    }
    watch_namespaces();
    scan_namespaces();
    if (!published_) {
        update_addresses();
    } else {
        update_peers();
    }
}

void Session::scan_namespaces() {
    if (namespaces_->scan()) {
        write_state();
        update_addresses();
    }
}

// Makes the common ways of making a namespace known at once; the rest is found by tick().
void Session::watch_namespaces() {
    for (const auto& directory : NetnsPlaces().bind_dirs) {
        auto& watch = netns_directories_[directory];
        if (watch.active()) {
            continue;
        }
        auto source = loop_.on_inotify(directory, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR,
                                       [this, directory](const inotify_event& event) {
                                           if (event.mask & IN_IGNORED) {
                                               netns_directories_[directory].reset();
                                               return;
                                           }
                                           // The file comes first, what is mounted on it a moment
                                           // later.
                                           scan_namespaces_soon();
                                       });
        if (source) {
            watch = std::move(*source);
        }
    }
}

Result<void> Session::listen(Decisions::OnDecision on_decision,
                             std::function<void(const nlohmann::json&)> on_pod) {
    on_pod_ = std::move(on_pod);
    if (decisions_ || !datapath_) {
        return {};
    }
    auto decisions = Decisions::open(datapath_->maps(), std::move(on_decision));
    if (!decisions) {
        return tl::unexpected(decisions.error());
    }
    auto source = loop_.on_io((*decisions)->fd(), EPOLLIN,
                              [raw = decisions->get()](std::uint32_t) { raw->consume(); });
    if (!source) {
        return tl::unexpected(source.error());
    }
    decisions_ = std::move(*decisions);
    decided_ = std::move(*source);
    return {};
}

void Session::stop_listening() {
    decided_.reset();
    decisions_.reset();
    on_pod_ = nullptr;
    reported_pods_.clear();
}

SavedState Session::saved_state() {
    SavedState state;
    state.eid = eid_;
    state.remove_eid = remove_eid_;
    namespaces_->save(state);
    return state;
}

void Session::write_state() {
    if (!paths_.smc) {
        return;
    }
    if (auto done = store_saved_state(state_path_, saved_state()); !done) {
        spdlog::warn("'smc-policy cleanup' will not know what to put back: {}",
                     done.error().message);
    }
}

Result<void> Session::extend_lease() {
    return datapath_
               ? datapath_->stores().set_lease(monotonic_ns() + kHandoverNs, config_.link_port)
               : Result<void>{};
}

Result<void> Session::prepare_handover(HandoverPlan& plan) {
    if (auto done = extend_lease(); !done) {
        return done;
    }
    plan.device = device_.fd();
    plan.device_path = device_.path();
    if (!datapath_) {
        return {};
    }
    // Devices that come while we are not there would be nobody's.
    if (auto* guards = datapath_->guards()) {
        if (auto done = guards->stop_offers(); !done) {
            return done;
        }
    }
    refresh_totals();
    plan.steer = datapath_->steer_links();
    plan.flows = datapath_->flows_links();
    plan.link_listener = links_->listener();
    plan.link_port = config_.link_port;
    plan.links = links_->held();
    plan.links_made = links_->made();
    plan.state = to_json(saved_state());
    return {};
}

}  // namespace smc_steer
