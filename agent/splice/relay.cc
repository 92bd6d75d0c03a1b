// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/relay.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "agent/base/acceptor.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/kernel/smc_socket.h"

namespace smc_steer {
namespace {

constexpr auto kTick = std::chrono::milliseconds(250);
constexpr std::uint64_t kTickNs = 250'000'000;
constexpr unsigned kTicksPerCount = 4;  // of bytes that the kernel moves
constexpr int kAcceptedInARow = 64;

std::array<std::uint16_t, 3> key_of(const splice_way& way) {
    return {way.hold, way.port, way.family};
}

}  // namespace

// A place and who is told of its sockets. Destroyed inside of a turn: they are watchers.
struct Relay::Covered : Poller::Watcher {
    void on_events(std::uint32_t /*events*/) override {}

    std::unique_ptr<Place> place;
    std::vector<std::unique_ptr<Readable>> watches;
};

Relay::Relay(std::unique_ptr<SpliceHooks> hooks, SpliceOptions options, Poller poller)
    : hooks_(std::move(hooks)),
      options_(options),
      poller_(std::move(poller)),
      scratch_(static_cast<std::size_t>(options.buffer)),
      pool_(poller_),
      context_{poller_, *hooks_, options_, scratch_, moved_, stats_, pool_, {}, nullptr, 0},
      view_(std::make_shared<SpliceView>()) {}

Result<std::unique_ptr<Relay>> Relay::start(std::unique_ptr<SpliceHooks> hooks,
                                            SpliceOptions options) {
    auto poller = Poller::create();
    if (!poller) {
        return tl::unexpected(poller.error());
    }
    std::unique_ptr<Relay> self(new Relay(std::move(hooks), options, std::move(*poller)));
    if (auto done = self->begin(); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Result<void> Relay::begin() {
    posted_fd_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!posted_fd_) {
        return fail_errno("cannot make an eventfd");
    }
    posted_watch_ = std::make_unique<Readable>([this] { on_posted(); });
    asked_watch_ = std::make_unique<Readable>(
        [this] { hooks_->consume([this](const splice_event& event) { on_asked(event); }); });
    if (auto done = poller_.watch_readable(posted_fd_.get(), *posted_watch_); !done) {
        return done;
    }
    if (auto done = poller_.watch_readable(hooks_->fd(), *asked_watch_); !done) {
        return done;
    }
    // Signals are the main thread's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    auto thread = start_thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!thread) {
        return tl::unexpected(thread.error());
    }
    thread_ = std::move(*thread);
    return {};
}

Relay::~Relay() {
    hooks_->detach_connect();
    if (thread_.joinable()) {
        stop_ = true;
        post([] {});
        thread_.join();
    }
    // Closing them is a reset to the programs; what was asked for meanwhile is refused, with
    // nobody on the port.
}

void Relay::run() {
    pthread_setname_np(pthread_self(), "relay");
    while (!stop_) {
        context_.now_ns = monotonic_ns();
        {
            std::lock_guard lock(mutex_);
            context_.view = view_;
        }
        poller_.turn(kTick);
        stats_.active = joins_.size();
        stats_.sent = moved_.sent;
        stats_.received = moved_.received;
        stats_.carried = moved_.carried;
        if (context_.now_ns - ticked_ns_ > kTickNs) {
            ticked_ns_ = context_.now_ns;
            tick();
        }
    }
    poller_.sweep();
}

void Relay::post(std::function<void()> work) {
    {
        std::lock_guard lock(mutex_);
        posted_.push_back(std::move(work));
    }
    eventfd_write(posted_fd_.get(), 1);
}

void Relay::on_posted() {
    eventfd_t ignored = 0;
    eventfd_read(posted_fd_.get(), &ignored);
    std::vector<std::function<void()>> work;
    {
        std::lock_guard lock(mutex_);
        work.swap(posted_);
        context_.view = view_;
    }
    for (auto& each : work) {
        each();
    }
}

void Relay::set_view(std::shared_ptr<const SpliceView> view) {
    std::lock_guard lock(mutex_);
    view_ = std::move(view);
}

Result<void> Relay::cover(NetnsId id, UniqueFd netns) {
    if (known_.contains(id) || !attempts_.worth_it(id)) {
        return {};
    }
    auto place = Place::make(*hooks_, std::move(netns), options_);
    if (!place) {
        return attempts_.failed(id, place.error()) ? tl::unexpected(place.error()) : Result<void>();
    }
    attempts_.succeeded(id);
    known_[id] = (*place)->cookie();
    // std::function wants to be able to copy what it holds.
    post([this, shared = std::make_shared<std::unique_ptr<Place>>(std::move(*place))] {
        auto covered = std::make_unique<Covered>();
        covered->place = std::move(*shared);
        auto cookie = covered->place->cookie();
        if (auto done = watch(*covered); !done) {
            spdlog::error("{}", done.error().message);
            return;
        }
        by_hold_[covered->place->hold()] = covered.get();
        covered_[cookie] = std::move(covered);
    });
    return {};
}

template <typename T>
void Relay::bury(std::map<T*, std::unique_ptr<T>>& owners, T& one) {
    auto owner = owners.find(&one);
    poller_.bury(std::move(owner->second));
    owners.erase(owner);
}

void Relay::keep(const std::map<NetnsId, int>& covered) {
    attempts_.forget_if([&](const NetnsId& id) { return !covered.contains(id); });
    std::erase_if(known_, [&](const auto& entry) {
        if (covered.contains(entry.first)) {
            return false;
        }
        post([this, cookie = entry.second] { uncover(cookie); });
        return true;
    });
}

// What looks at the place goes with it, at the end of the turn.
void Relay::uncover(std::uint64_t cookie) {
    auto covered = covered_.find(cookie);
    if (covered == covered_.end()) {
        return;
    }
    auto* gone = covered->second.get();
    for (auto it = outgoing_.begin(); it != outgoing_.end();) {
        auto& outgoing = *(it++)->second;
        if (outgoing.event().way.hold == gone->place->hold()) {
            by_way_.erase(key_of(outgoing.event().way));
            bury(outgoing_, outgoing);
        }
    }
    for (auto it = incoming_.begin(); it != incoming_.end();) {
        auto& incoming = *(it++)->second;
        if (&incoming.place() == gone->place.get()) {
            bury(incoming_, incoming);
        }
    }
    for (auto& watch : gone->watches) {
        poller_.bury(std::move(watch));
    }
    by_hold_.erase(gone->place->hold());
    poller_.bury(std::move(covered->second));
    covered_.erase(covered);
}

Result<void> Relay::watch(Covered& covered) {
    auto& place = *covered.place;
    auto add = [&](int fd, std::function<bool()> accept) -> Result<void> {
        if (fd < 0) {
            return {};
        }
        covered.watches.push_back(std::make_unique<Readable>(nullptr));
        auto* watch = covered.watches.back().get();
        watch->then = [this, fd, watch, accept = std::move(accept)] {
            if (!accept()) {
                poller_.rest(fd, *watch);
            }
        };
        return poller_.watch_readable(fd, *watch);
    };
    auto* raw = &covered;
    for (auto done :
         {add(place.agents(), [this, raw] { return on_agent(*raw); }),
          add(place.listener4(),
              [this, raw] { return on_program(*raw, raw->place->listener4(), AF_INET); }),
          add(place.listener6(),
              [this, raw] { return on_program(*raw, raw->place->listener6(), AF_INET6); })}) {
        if (!done) {
            return done;
        }
    }
    return {};
}

void Relay::on_asked(const splice_event& event) {
    auto key = key_of(event.way);
    auto known = by_way_.find(key);
    if (event.kind == SPLICE_GONE) {
        if (known != by_way_.end() && known->second->event().cookie == event.cookie) {
            bury(outgoing_, *known->second);
            by_way_.erase(known);
        }
        return;
    }
    auto covered = by_hold_.find(event.way.hold);
    if (event.kind != SPLICE_ASKED || covered == by_hold_.end()) {
        return;
    }
    stats_.asked++;
    if (known != by_way_.end()) {
        // The port is another socket's by now.
        bury(outgoing_, *known->second);
    }
    auto outgoing = std::make_unique<Outgoing>(context_, *covered->second->place, event,
                                               [this](Outgoing& one) { on_ready(one); });
    auto* raw = outgoing.get();
    by_way_[key] = raw;
    outgoing_[raw] = std::move(outgoing);
    raw->begin();
}

void Relay::on_ready(Outgoing& outgoing) {
    const auto& event = outgoing.event();
    spdlog::debug("relay: {}: {}", to_string(outgoing.wanted()), outgoing.outcome());
    if (outgoing.reached() && hooks_->release(event.way, event.cookie, outgoing.local())) {
        return;
    }
    if (!outgoing.reached()) {
        stats_.refused++;
        hooks_->refuse(event.way, event.cookie);
    }
    by_way_.erase(key_of(event.way));
    bury(outgoing_, outgoing);
}

bool Relay::on_program(Covered& covered, int listener, std::uint16_t family) {
    for (int i = 0; i < kAcceptedInARow; i++) {
        UniqueFd local(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!local) {
            return nobody_came(errno);
        }
        auto name = peer_name(local.get());
        auto outgoing =
            name ? by_way_.find({covered.place->hold(), name->port, family}) : by_way_.end();
        if (outgoing == by_way_.end() || !outgoing->second->reached()) {
            linger reset{1, 0};
            setsockopt(local.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
            continue;
        }
        auto& one = *outgoing->second;
        WirePool::Key key{covered.place->hold(), one.wanted().address};
        auto over = [this, key, server = one.wanted(), smcd = one.over_smcd(),
                     since_ns = monotonic_ns()](Join& ended) {
            // What was TCP is measured as such; what broke says nothing.
            if (smcd && !ended.broken_off()) {
                hooks_->learn(server, ended.bytes(), ended.ended_ns() - since_ns);
            }
            auto wire = ended.take_wire();
            if (wire && ended.take_rest().empty()) {
                pool_.give(key, std::move(wire), context_.now_ns);
            }
        };
        join(std::move(local), one.take_wire(), one.kind(), over);
        by_way_.erase(outgoing);
        bury(outgoing_, one);
    }
    return true;
}

bool Relay::on_agent(Covered& covered) {
    for (int i = 0; i < kAcceptedInARow; i++) {
        auto accepted = smc_accept(covered.place->agents());
        if (!accepted) {
            spdlog::debug("{}", accepted.error().message);
            return false;
        }
        if (!accepted->fd) {
            return true;
        }
        if (!context_.view->peers.contains(accepted->peer)) {
            stats_.strangers++;
            continue;
        }
        receive(covered, std::move(accepted->fd), {accepted->peer, accepted->port}, std::nullopt);
    }
    return true;
}

void Relay::receive(Covered& covered, UniqueFd wire, const Endpoint& client,
                    std::optional<std::vector<std::uint8_t>> heard) {
    auto incoming = std::make_unique<Incoming>(context_, *covered.place, std::move(wire), client,
                                               std::move(heard),
                                               [this](Incoming& one) { on_incoming_end(one); });
    auto* raw = incoming.get();
    incoming_[raw] = std::move(incoming);
    raw->begin();
}

void Relay::on_incoming_end(Incoming& incoming) {
    if (incoming.joined()) {
        auto forget = incoming.take_announcement();
        auto after = [this, forget, cookie = incoming.place().cookie(),
                      client = incoming.client()](Join& ended) {
            forget();
            auto wire = ended.take_wire();
            auto covered = covered_.find(cookie);
            if (wire && covered != covered_.end() &&
                context_.view->peers.contains(client.address)) {
                receive(*covered->second, std::move(wire), client, ended.take_rest());
            }
        };
        join(incoming.take_local(), incoming.take_wire(), incoming.kind(), std::move(after));
    }
    bury(incoming_, incoming);
}

void Relay::join(UniqueFd local, UniqueFd wire, Join::Kind kind,
                 const std::function<void(Join&)>& then) {
    auto on_end = [this, then](Join& one) {
        if (auto wire = one.take_reset()) {
            pool_.give({}, std::move(wire), context_.now_ns);  // of no namespace: nobody takes it
        }
        then(one);
        stats_.broken_off += one.broken_off() ? 1 : 0;
        bury(joins_, one);
    };
    if (kind.form == Join::Form::raw) {
        // While it was falling back it may have had no socket to be told.
        keep_timers(options_.timers, wire.get());
    }
    kind.in_kernel = kind.in_kernel && options_.in_kernel;
    kind.after = options_.after;
    auto made = std::make_unique<Join>(poller_, scratch_, moved_, std::move(local), std::move(wire),
                                       kind, std::move(on_end));
    auto* raw = made.get();
    joins_[raw] = std::move(made);
    if (auto done = raw->start(); !done) {
        spdlog::error("{}", done.error().message);
        raw->break_off();
    }
}

void Relay::tick() {
    pool_.tick(context_.now_ns);
    const bool count = ticks_++ % kTicksPerCount == 0;
    for (auto& [join, owner] : joins_) {
        join->tick();
        if (count) {
            join->count();
        }
    }
    std::erase_if(context_.direct,
                  [this](const auto& entry) { return entry.second < context_.now_ns; });
    for (auto it = incoming_.begin(); it != incoming_.end();) {
        (it++)->second->tick();
    }
    for (auto it = outgoing_.begin(); it != outgoing_.end();) {
        auto& outgoing = *(it++)->second;
        if (outgoing.reached() && context_.now_ns > outgoing.come_by_ns()) {
            by_way_.erase(key_of(outgoing.event().way));
            bury(outgoing_, outgoing);
        } else {
            outgoing.tick();
        }
    }
}

}  // namespace smc_steer
