// SPDX-License-Identifier: Apache-2.0
#include "agent/direct/wires.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/kernel/tcp_socket.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

constexpr auto kProofTime = 2s;  // for one address, connect() included
// Before the first dialing: the peer has to read our bulletin; the lower slot waits to be called.
constexpr auto kSettle = 100ms;
constexpr auto kWaitToBeCalled = 3s;
constexpr auto kPause = 250ms;      // after a round in vain, doubled each time
constexpr unsigned kDoublings = 7;  // up to half a minute
constexpr auto kAfterAnEnd = 500ms;
constexpr std::size_t kMostUnsent = 1 << 20;  // bytes: a peer that reads nothing

}  // namespace

Result<std::unique_ptr<Wires>> Wires::listen(EventLoop& loop, std::uint16_t port,
                                             WireOwner& owner) {
    auto listener = tcp_listen(port);
    if (!listener) {
        return tl::unexpected(listener.error());
    }
    std::unique_ptr<Wires> self(new Wires(loop, owner));
    self->listener_ = std::move(*listener);
    auto done = self->acceptor_.start(loop, self->listener_.get(),
                                      [wires = self.get()] { return wires->accept_one(); });
    if (!done) {
        return tl::unexpected(done.error());
    }
    return self;
}

void Wires::set_peers(std::uint32_t own_slot, std::uint32_t own_generation,
                      std::map<std::uint32_t, AgentPeer> peers) {
    own_slot_ = own_slot;
    own_generation_ = own_generation;
    for (auto it = wires_.begin(); it != wires_.end();) {
        auto peer = peers.find(it->first);
        if (peer != peers.end() && peer->second.generation == it->second.peer.generation) {
            ++it;
            continue;
        }
        auto slot = it->first;
        bool was_up = it->second.talking != nullptr;
        it = wires_.erase(it);
        if (was_up) {
            owner_.on_down(slot);
        }
    }
    for (auto& [slot, peer] : peers) {
        auto [entry, fresh] = wires_.try_emplace(slot);
        entry->second.peer = std::move(peer);
        if (fresh) {
            arm(slot, entry->second, own_slot > slot ? kSettle : kWaitToBeCalled);
        }
    }
}

bool Wires::up(std::uint32_t slot) const {
    auto wire = wires_.find(slot);
    return wire != wires_.end() && wire->second.talking;
}

std::string Wires::problem(std::uint32_t slot) const {
    auto wire = wires_.find(slot);
    return wire == wires_.end() || wire->second.talking ? "" : wire->second.problem;
}

Result<void> Wires::accept_one() {
    auto accepted = tcp_accept(listener_.get());
    if (!accepted) {
        return tl::unexpected(accepted.error());
    }
    if (accepted->fd) {
        admit(std::move(accepted->fd), accepted->peer.address);
    }
    return {};
}

void Wires::admit(UniqueFd fd, const Address& from) {
    auto entry = std::find_if(wires_.begin(), wires_.end(), [&](const auto& candidate) {
        const auto& addresses = candidate.second.peer.addresses;
        return std::find(addresses.begin(), addresses.end(), from) != addresses.end();
    });
    if (entry == wires_.end()) {
        strangers_++;
        spdlog::debug("{} is no peer: its connection is closed", to_string(from));
        return;
    }
    auto& [slot, wire] = *entry;
    make_place(wire);
    auto& fresh = *wire.incoming.emplace_back(std::make_unique<Connection>());
    fresh.fd = std::move(fd);
    fresh.from = from;
    fresh.connected = true;
    auto done = watch(slot, fresh);
    if (done) {
        owner_.show_nonce();
        done = say_hello(slot, fresh);
    }
    if (!done) {
        end(slot, &fresh, done.error().message);
    }
}

// Of the address that has the most the oldest goes: a pod that connects without end is in nobody's
// way but its own. At the agent's own address programs would have to be faster than the agent, all
// of them together.
void Wires::make_place(Wire& wire) {
    if (wire.incoming.size() < kMostIncoming) {
        return;
    }
    auto count = [&wire](const std::unique_ptr<Connection>& one) {
        return std::count_if(wire.incoming.begin(), wire.incoming.end(),
                             [&one](const auto& other) { return other->from == one->from; });
    };
    wire.incoming.erase(std::max_element(
        wire.incoming.begin(), wire.incoming.end(),
        [&count](const auto& one, const auto& other) { return count(one) < count(other); }));
}

void Wires::arm(std::uint32_t slot, Wire& wire, std::chrono::milliseconds delay) {
    auto timer = loop_.after(delay, [this, slot] {
        auto& due = wires_.at(slot);
        due.timer.reset();
        if (!due.talking && !due.outgoing) {
            dial(slot, due);
        }
    });
    if (timer) {
        wire.timer = std::move(*timer);
    } else {
        spdlog::error("{}", timer.error().message);
    }
}

void Wires::dial(std::uint32_t slot, Wire& wire) {
    const auto& addresses = wire.peer.addresses;
    owner_.show_nonce();
    auto fd = tcp_connect({addresses[wire.next_address % addresses.size()], wire.peer.port});
    if (!fd) {
        dial_failed(slot, wire, fd.error().message);
        return;
    }
    wire.outgoing = std::make_unique<Connection>();
    wire.outgoing->fd = std::move(*fd);
    wire.outgoing->dialed = true;
    if (auto done = watch(slot, *wire.outgoing); !done) {
        end(slot, wire.outgoing.get(), done.error().message);
    }
}

// The next address at once, after the last one a pause that grows.
void Wires::dial_failed(std::uint32_t slot, Wire& wire, const std::string& why) {
    const auto& addresses = wire.peer.addresses;
    auto at = wire.next_address % addresses.size();
    wire.problem = fmt::format("{}: {}", to_string(addresses[at], wire.peer.port), why);
    wire.next_address = at + 1;
    if (wire.next_address < addresses.size()) {
        arm(slot, wire, 0ms);
        return;
    }
    arm(slot, wire, kPause * (1U << std::min(wire.rounds++, kDoublings)));
}

Result<void> Wires::watch(std::uint32_t slot, Connection& connection) {
    const std::uint32_t wanted = connection.connected ? EPOLLIN : EPOLLIN | EPOLLOUT;
    // Both go with it.
    auto* same = &connection;
    auto events = loop_.on_io(connection.fd.get(), wanted,
                              [this, slot, same](std::uint32_t what) { on_io(slot, *same, what); });
    if (!events) {
        return tl::unexpected(events.error());
    }
    auto timer = loop_.after(kProofTime, [this, slot, same] { end(slot, same, "no answer"); });
    if (!timer) {
        return tl::unexpected(timer.error());
    }
    connection.events = std::move(*events);
    connection.timer = std::move(*timer);
    return {};
}

void Wires::on_io(std::uint32_t slot, Connection& connection, std::uint32_t events) {
    if (auto done = serve(slot, connection, events); !done) {
        end(slot, &connection, done.error().message);
    }
}

Result<void> Wires::serve(std::uint32_t slot, Connection& connection, std::uint32_t events) {
    if (!connection.connected) {
        if (auto done = connect_ended(connection.fd.get()); !done) {
            return done;
        }
        connection.connected = true;
        if (auto done = connection.events.set_io_events(EPOLLIN); !done) {
            return done;
        }
    }
    if (events & EPOLLOUT) {
        if (auto done = write(connection); !done) {
            return done;
        }
    }
    auto done = read(connection);
    if (!connection.proven && connection.in.size() >= kHelloSize) {
        if (auto good = take_hello(slot, connection); !good) {
            return good;
        }
        if (done) {
            take_messages(slot, &connection);
        }
        return done;
    }
    if (connection.proven) {
        take_messages(slot, &connection);
    }
    return done;
}

Result<void> Wires::read(Connection& connection) {
    std::array<std::uint8_t, 4096> buffer;
    for (;;) {
        auto got = recv(connection.fd.get(), buffer.data(), buffer.size(), 0);
        if (got > 0) {
            connection.in.insert(connection.in.end(), buffer.begin(), buffer.begin() + got);
            // What is more comes with the next event: others have their turn first.
            if (connection.in.size() >= 64 * kMessageSize) {
                return {};
            }
            continue;
        }
        if (got == 0) {
            return fail("the other agent ended the connection");
        }
        if (errno == EAGAIN || errno == EINTR) {
            return {};
        }
        return fail_errno("recv");
    }
}

Result<void> Wires::write(Connection& connection) {
    while (!connection.out.empty()) {
        auto sent =
            ::send(connection.fd.get(), connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            connection.out.erase(connection.out.begin(), connection.out.begin() + sent);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            return fail_errno("send");
        }
    }
    return connection.events.set_io_events(connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

Result<void> Wires::say_hello(std::uint32_t slot, Connection& connection) {
    auto nonce = owner_.nonce_of(slot);
    if (!nonce) {
        return fail("its bulletin cannot be read");
    }
    auto bytes = encode(Hello{own_slot_, own_generation_, *nonce});
    connection.out.insert(connection.out.end(), bytes.begin(), bytes.end());
    return write(connection);
}

Result<void> Wires::take_hello(std::uint32_t slot, Connection& connection) {
    auto& wire = wires_.at(slot);
    auto hello =
        decode_hello(std::span<const std::uint8_t, kHelloSize>(connection.in.data(), kHelloSize));
    if (!hello) {
        return tl::unexpected(hello.error());
    }
    if (hello->slot != slot || hello->generation != wire.peer.generation ||
        !owner_.is_ours(hello->nonce)) {
        return fail("it did not prove to be the agent of slot {}", slot);
    }
    connection.in.erase(connection.in.begin(), connection.in.begin() + kHelloSize);
    // Who dials says nothing before it knows to whom.
    if (connection.dialed) {
        if (auto done = say_hello(slot, connection); !done) {
            return done;
        }
    }
    prove(slot, connection);
    return {};
}

void Wires::prove(std::uint32_t slot, Connection& connection) {
    auto& wire = wires_.at(slot);
    std::unique_ptr<Connection> fresh;
    if (wire.outgoing.get() == &connection) {
        fresh = std::move(wire.outgoing);
    } else {
        auto place = std::find_if(wire.incoming.begin(), wire.incoming.end(),
                                  [&](const auto& one) { return one.get() == &connection; });
        fresh = std::move(*place);
        wire.incoming.erase(place);
    }
    fresh->timer.reset();
    fresh->proven = true;
    if (wire.talking) {
        owner_.on_down(slot);
    }
    wire.talking = std::move(fresh);
    wire.timer.reset();
    wire.rounds = 0;
    wire.problem.clear();
    owner_.on_up(slot);
}

void Wires::take_messages(std::uint32_t slot, const Connection* connection) {
    // The owner's answer may end the wire.
    while (wires_.contains(slot) && wires_.at(slot).talking.get() == connection &&
           connection->in.size() >= kMessageSize) {
        auto& in = wires_.at(slot).talking->in;
        auto message =
            decode_message(std::span<const std::uint8_t, kMessageSize>(in.data(), kMessageSize));
        in.erase(in.begin(), in.begin() + kMessageSize);
        if (!message) {
            end(slot, connection, message.error().message);
            return;
        }
        owner_.on_message(slot, *message);
    }
}

void Wires::send(std::uint32_t slot, const Message& message) {
    auto wire = wires_.find(slot);
    if (wire == wires_.end() || !wire->second.talking) {
        return;
    }
    auto& connection = *wire->second.talking;
    auto bytes = encode(message);
    connection.out.insert(connection.out.end(), bytes.begin(), bytes.end());
    auto done = connection.out.size() > kMostUnsent ? fail("the other agent reads nothing")
                                                    : write(connection);
    if (!done) {
        // Not at once: the caller is in the midst of something. The loop tells of the end.
        connection.out.clear();
        shutdown(connection.fd.get(), SHUT_RDWR);
    }
}

void Wires::end(std::uint32_t slot, const Connection* connection, const std::string& why) {
    auto entry = wires_.find(slot);
    if (entry == wires_.end()) {
        return;
    }
    auto& wire = entry->second;
    if (wire.outgoing.get() == connection) {
        wire.outgoing.reset();
        dial_failed(slot, wire, why);
        return;
    }
    bool talked = wire.talking.get() == connection;
    if (talked) {
        wire.talking.reset();
    } else if (!std::erase_if(wire.incoming,
                              [&](const auto& one) { return one.get() == connection; })) {
        return;  // it has gone already
    }
    if (!wire.talking) {
        wire.problem = why;
    }
    if (talked) {
        arm(slot, wire, own_slot_ > slot ? kAfterAnEnd : kWaitToBeCalled);
        owner_.on_down(slot);
    }
}

}  // namespace smc_steer
