// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/direct_path.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "agent/base/clock.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 250ms;
constexpr auto kStep = 10ms;  // a grace period of the kernel's takes 20 to 300
// A look at so many costs a few milliseconds: where there are more, all are looked at less often.
constexpr std::size_t kSocketsALook = 1024;
constexpr std::size_t kNamespacesALook = 32;
constexpr unsigned kMostHeldUp = 4;
constexpr std::uint64_t kAllNs = 50'000'000;

// N of /dev/ivpciN.
std::uint32_t device_number(const std::string& path) {
    auto digits = path.find_last_not_of("0123456789") + 1;
    std::uint32_t number = 0;
    std::from_chars(path.data() + digits, path.data() + path.size(), number);
    return number;
}

}  // namespace

DirectPath::DirectPath(EventLoop& loop, const OffloadConfig& config, std::uint32_t device,
                       DirectHost& host)
    : loop_(loop),
      config_(config),
      host_(host),
      offload_(config.limits, device, *this, monotonic_ns() | 1),
      ports_{config.port} {}

Result<std::unique_ptr<DirectPath>> DirectPath::start(EventLoop& loop, const OffloadConfig& config,
                                                      const std::string& device, DirectHost& host) {
    std::unique_ptr<DirectPath> self(new DirectPath(loop, config, device_number(device), host));
    auto wires = Wires::listen(loop, config.port, *self);
    if (!wires) {
        return tl::unexpected(wires.error());
    }
    self->wires_ = std::move(*wires);
    self->show_nonce();
    auto looking = loop.every(kLook, [path = self.get()] { path->look(); });
    if (!looking) {
        return tl::unexpected(looking.error());
    }
    self->looking_ = std::move(*looking);
    if (!self->kernel()) {
        spdlog::warn("no connection can be moved onto shared memory (yet): {}", self->problem_);
    }
    return self;
}

DirectPath::~DirectPath() {
    looking_.reset();
    going_on_.reset();
    if (config_.restore_on_exit) {
        if (auto device = kernel()) {
            offload_.restore(*device);
        }
    }
}

std::optional<DirectDevice> DirectPath::kernel() {
    auto device = DirectDevice::open();
    if (!device) {
        bool gone = device.error().code == ENOENT || device.error().code == ENODEV ||
                    device.error().code == ENXIO;
        if (problem_.empty() && gone) {
            offload_.forget();
        }
        problem_ = device.error().message;
        return std::nullopt;
    }
    problem_.clear();
    return std::move(*device);
}

void DirectPath::set_peers(std::uint32_t own_slot, std::uint32_t own_generation,
                           std::map<std::uint32_t, AgentPeer> peers) {
    offload_.set_own_slot(own_slot);
    guests_.clear();
    ports_ = {config_.port};
    for (const auto& [slot, peer] : peers) {
        guests_[slot] = {slot, peer.generation};
        ports_.insert(peer.port);
    }
    wires_->set_peers(own_slot, own_generation, std::move(peers));
}

Guest DirectPath::guest(std::uint32_t slot) {
    auto known = guests_.find(slot);
    return known == guests_.end() ? Guest{} : known->second;
}

std::optional<Nonce> DirectPath::nonce_of(std::uint32_t slot) { return host_.nonce_of_peer(slot); }

void DirectPath::show_nonce() {
    auto fresh = nonces_.refresh(monotonic_ns());
    if (!fresh) {
        spdlog::error("{}", fresh.error().message);
    } else if (*fresh) {
        host_.publish_nonce(nonces_.current());
    }
}

bool DirectPath::is_ours(const Nonce& nonce) { return nonces_.knows(nonce, monotonic_ns()); }

void DirectPath::on_up(std::uint32_t slot) { spdlog::info("the agent of slot {} answers", slot); }

void DirectPath::on_down(std::uint32_t slot) {
    if (auto device = kernel()) {
        offload_.on_down(*device, slot, monotonic_ns());
    }
}

void DirectPath::on_message(std::uint32_t slot, const Message& message) {
    if (auto device = kernel()) {
        offload_.on_message(*device, slot, message, monotonic_ns());
        go_on_soon();
    } else if (message.kind == MessageKind::prepare) {
        wires_->send(slot, {MessageKind::no, false, WhyNot::not_now, message.id, 0, 0, {}, {}, {}});
    }
}

// Of our own: the session's is gone with the namespace's last program, and connections may live on.
std::shared_ptr<const UniqueFd> DirectPath::netns_file(ino_t netns) {
    if (auto known = files_[netns].lock()) {
        return known;
    }
    auto all = host_.direct_namespaces();
    auto entry = all.find(netns);
    UniqueFd copy(entry == all.end() ? -1 : fcntl(entry->second, F_DUPFD_CLOEXEC, 0));
    if (!copy) {
        files_.erase(netns);
        return nullptr;
    }
    auto file = std::make_shared<const UniqueFd>(std::move(copy));
    files_[netns] = file;
    return file;
}

std::size_t DirectPath::add_sockets(ino_t netns, TcpDetail detail, std::vector<Seen>& all) {
    auto sockets = host_.direct_sockets(netns, detail);
    if (!sockets) {
        spdlog::debug("net:[{}]: {}", netns, sockets.error().message);
        return 0;
    }
    for (auto& socket : *sockets) {
        const auto& addresses = socket.addresses;
        if (!ports_.contains(addresses.local_port) && !ports_.contains(addresses.peer_port)) {
            auto peer = host_.guest_at(addresses.peer);
            all.push_back({netns, std::move(socket), peer});
        }
    }
    return sockets->size();
}

const std::vector<Seen>& DirectPath::find_all() {
    auto at = monotonic_ns();
    if (!all_ns_ || at - all_ns_ > kAllNs) {
        all_.clear();
        for (const auto& [netns, fd] : host_.direct_namespaces()) {
            add_sockets(netns, TcpDetail::addresses, all_);
        }
        all_ns_ = at;
    }
    return all_;
}

// A look at a socket takes its lock: a connection that is being attached to is not clean for it
// then.
void DirectPath::look() {
    looks_++;
    std::erase_if(files_, [](const auto& entry) { return entry.second.expired(); });
    auto device = kernel();
    // The first look finds what an agent before this one has left.
    bool useless = guests_.empty() && offload_.empty() && looks_ > 1;
    if (!device || useless) {
        return;
    }
    if (looks_ < next_look_) {
        offload_.maintain(*device, monotonic_ns());
        return;
    }
    auto busy = offload_.busy();
    held_up_ = busy.empty() ? 0 : held_up_ + 1;
    if (held_up_ > kMostHeldUp) {
        busy.clear();
        held_up_ = 0;
    }
    std::vector<Seen> all;
    std::size_t sockets = 0, namespaces = 0;
    for (const auto& [netns, fd] : host_.direct_namespaces()) {
        if (!std::binary_search(busy.begin(), busy.end(), netns)) {
            sockets += add_sockets(netns, TcpDetail::traffic, all);
            namespaces++;
        }
    }
    next_look_ = looks_ + 1 + sockets / kSocketsALook + namespaces / kNamespacesALook;
    offload_.look(*device, all, busy, monotonic_ns());
    go_on_soon();
}

void DirectPath::go_on() {
    going_on_.reset();
    if (auto device = kernel()) {
        offload_.go_on(*device, monotonic_ns());
        go_on_soon();
    }
}

void DirectPath::go_on_soon() {
    if (going_on_.active() || !offload_.under_way()) {
        return;
    }
    auto later = loop_.after(kStep, [this] { go_on(); });
    if (later) {
        going_on_ = std::move(*later);
    } else {
        spdlog::error("{}", later.error().message);
    }
}

void DirectPath::judge() {
    if (auto device = kernel()) {
        offload_.judge(*device, monotonic_ns());
    }
}

void DirectPath::report_status(nlohmann::json& out) const {
    auto totals = offload_.totals();
    out["offload"] = {
        {"port", config_.port},
        {"problem", problem_},
        {"strangers", wires_->strangers()},
        {"connections", totals.now},
        {"under_way", totals.under_way},
        {"moved", totals.moved},
        {"ring_bytes", totals.ring_bytes},
        {"failed", totals.failed},
        {"back",
         {{"idle", totals.back_idle},
          {"denied", totals.back_denied},
          {"evicted", totals.back_evicted},
          {"share", totals.back_share},
          {"peer", totals.back_by_peer}}},
    };
}

}  // namespace smc_steer
