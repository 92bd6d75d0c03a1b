// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/links.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "agent/kernel/smc_reasons.h"
#include "agent/kernel/smc_socket.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

constexpr auto kDialTime = 2s;  // for one address
// Before the first dialing: the peer has to read our bulletin; the lower slot waits to be called.
constexpr auto kSettle = 100ms;
constexpr auto kWaitToBeCalled = 3s;
constexpr auto kPause = 250ms;      // after a round in vain, doubled each time
constexpr unsigned kDoublings = 7;  // up to half a minute
constexpr auto kAfterAnEnd = 1s;

}  // namespace

Result<std::unique_ptr<Links>> Links::listen(EventLoop& loop, std::uint16_t port,
                                             InheritedLinks inherited,
                                             std::function<void()> on_change) {
    auto diag = DiagSocket::open();
    if (!diag) {
        return tl::unexpected(diag.error());
    }
    auto listener =
        inherited.listener ? Result<UniqueFd>(std::move(inherited.listener)) : smc_listen(port);
    if (!listener) {
        return tl::unexpected(listener.error());
    }
    std::unique_ptr<Links> self(new Links(loop, std::move(*diag), std::move(on_change)));
    self->listener_ = std::move(*listener);
    auto done = self->acceptor_.start(loop, self->listener_.get(),
                                      [links = self.get()] { return links->accept_one(); });
    if (!done) {
        return tl::unexpected(done.error());
    }
    self->inherited_ = std::move(inherited.held);
    self->made_ = inherited.made;
    return self;
}

void Links::set_peers(std::uint32_t own_slot, std::map<std::uint32_t, AgentPeer> peers) {
    std::erase_if(links_, [&](const auto& entry) {
        auto peer = peers.find(entry.first);
        return peer == peers.end() || peer->second.generation != entry.second.peer.generation;
    });
    for (auto& [slot, peer] : peers) {
        auto [entry, fresh] = links_.try_emplace(slot);
        entry->second.peer = std::move(peer);
        if (!fresh) {
            continue;
        }
        take_over(slot, entry->second.peer.generation);
        if (!up(slot)) {
            arm(slot, own_slot > slot ? kSettle : kWaitToBeCalled);
        }
    }
    inherited_.clear();
}

void Links::take_over(std::uint32_t slot, std::uint32_t generation) {
    for (auto& held : inherited_) {
        if (held.slot == slot && held.generation == generation &&
            hold(slot, held.incoming ? &Link::incoming : &Link::outgoing, std::move(held.fd))) {
            made_--;  // counted by who made it
        }
    }
}

std::vector<Links::Held> Links::held() const {
    std::vector<Held> all;
    for (const auto& [slot, link] : links_) {
        for (bool incoming : {true, false}) {
            const auto& connection = incoming ? link.incoming : link.outgoing;
            if (connection) {
                all.push_back({slot, link.peer.generation, incoming, connection.fd.get()});
            }
        }
    }
    return all;
}

bool Links::up(std::uint32_t slot) const {
    auto link = links_.find(slot);
    return link != links_.end() && (link->second.incoming || link->second.outgoing);
}

std::string Links::problem(std::uint32_t slot) const {
    auto link = links_.find(slot);
    return link == links_.end() || up(slot) ? "" : link->second.problem;
}

std::set<std::uint64_t> Links::inodes() const {
    std::set<std::uint64_t> all;
    for (const auto& [slot, link] : links_) {
        for (const auto* each : {&link.incoming, &link.outgoing, &link.dialing}) {
            if (*each) {
                all.insert(socket_inode(each->fd.get()));
            }
        }
    }
    return all;
}

Result<void> Links::accept_one() {
    auto accepted = smc_accept(listener_.get());
    if (!accepted) {
        return tl::unexpected(accepted.error());
    }
    if (accepted->fd) {
        admit(std::move(accepted->fd), accepted->peer);
    }
    return {};
}

void Links::admit(UniqueFd fd, const Address& from) {
    auto entry = std::find_if(links_.begin(), links_.end(), [&](const auto& candidate) {
        const auto& addresses = candidate.second.peer.addresses;
        return std::find(addresses.begin(), addresses.end(), from) != addresses.end();
    });
    if (entry == links_.end()) {
        strangers_++;
        spdlog::debug("{} is no peer: its connection is closed", to_string(from));
        return;
    }
    auto& [slot, link] = *entry;
    if (auto good = runs_over_smcd(fd.get()); !good) {
        link.problem = fmt::format("from {}: {}", to_string(from), good.error().message);
        return;
    }
    if (hold(slot, &Link::incoming, std::move(fd))) {
        on_change_();
    }
}

void Links::arm(std::uint32_t slot, std::chrono::milliseconds delay) {
    auto timer = loop_.after(delay, [this, slot] { on_timer(slot); });
    if (timer) {
        links_.at(slot).timer = std::move(*timer);
    } else {
        spdlog::error("{}", timer.error().message);
    }
}

void Links::on_timer(std::uint32_t slot) {
    auto& link = links_.at(slot);
    link.timer.reset();
    if (link.dialing) {
        link.dialing.close();
        dial_failed(slot, link, "no answer");
    } else if (!up(slot)) {
        dial(slot, link);
    }
}

void Links::dial(std::uint32_t slot, Link& link) {
    auto fd = smc_connect(link.peer.addresses[link.next_address % link.peer.addresses.size()],
                          link.peer.port);
    if (!fd) {
        dial_failed(slot, link, fd.error().message);
        return;
    }
    auto events =
        loop_.on_io(fd->get(), EPOLLOUT, [this, slot](std::uint32_t) { on_dialed(slot); });
    if (!events) {
        dial_failed(slot, link, events.error().message);
        return;
    }
    link.dialing.fd = std::move(*fd);
    link.dialing.events = std::move(*events);
    arm(slot, kDialTime);
}

void Links::on_dialed(std::uint32_t slot) {
    auto& link = links_.at(slot);
    link.timer.reset();
    link.dialing.events.reset();
    auto good = connect_ended(link.dialing.fd.get());
    if (good) {
        good = runs_over_smcd(link.dialing.fd.get());
    }
    if (!good) {
        link.dialing.close();
        dial_failed(slot, link, good.error().message);
        return;
    }
    link.rounds = 0;
    link.problem.clear();
    if (hold(slot, &Link::outgoing, std::move(link.dialing.fd))) {
        on_change_();
    }
}

// The next address at once, after the last one a pause that grows.
void Links::dial_failed(std::uint32_t slot, Link& link, const std::string& why) {
    const auto& addresses = link.peer.addresses;
    auto at = link.next_address % addresses.size();
    link.problem = fmt::format("{}: {}", to_string(addresses[at], link.peer.port), why);
    link.next_address = at + 1;
    if (link.next_address < addresses.size()) {
        arm(slot, 0ms);
        return;
    }
    arm(slot, kPause * (1U << std::min(link.rounds++, kDoublings)));
}

bool Links::hold(std::uint32_t slot, Connection Link::*which, UniqueFd fd) {
    // Nobody sends on a link: whatever happens there is its end.
    auto events = loop_.on_io(fd.get(), EPOLLIN | EPOLLRDHUP,
                              [this, slot, which](std::uint32_t) { on_ended(slot, which); });
    if (!events) {
        spdlog::error("{}", events.error().message);
        return false;
    }
    made_++;
    auto& place = links_.at(slot).*which;
    place.close();
    place.fd = std::move(fd);
    place.events = std::move(*events);
    return true;
}

void Links::on_ended(std::uint32_t slot, Connection Link::*which) {
    auto& link = links_.at(slot);
    (link.*which).close();
    if (!up(slot)) {
        link.problem = "the link ended";
        arm(slot, kAfterAnEnd);
        on_change_();
    }
}

Result<void> Links::runs_over_smcd(int fd) {
    auto sockets = diag_.smc();
    if (!sockets) {
        return tl::unexpected(sockets.error());
    }
    auto inode = socket_inode(fd);
    auto own = std::find_if(sockets->begin(), sockets->end(),
                            [&](const SmcSocket& socket) { return socket.inode == inode; });
    if (own == sockets->end()) {
        return fail("ended at once");
    }
    if (own->mode != SmcMode::smcd) {
        return fail("fell back to TCP ({:#010x} {})", own->reason, reason_text(own->reason));
    }
    return {};
}

}  // namespace smc_steer
