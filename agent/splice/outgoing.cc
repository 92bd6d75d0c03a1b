// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/outgoing.h"

#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "agent/kernel/diag.h"
#include "agent/kernel/smc_socket.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kCallNs = 2'000'000'000;         // for a connection with an agent
constexpr std::uint64_t kHelloNs = 10'000'000'000;       // for its first word
constexpr std::uint64_t kLeaveAloneNs = 30'000'000'000;  // a server that is not for us
constexpr std::uint64_t kComeNs = 5'000'000'000;         // more than a SYN needs

bool is_unspecified(const Address& address) {
    return address == Address{} || address == Address::from_bytes(std::array<std::uint8_t, 4>{});
}

// Where the kernel has put the program's socket, which says nothing, or where the program has.
Address bound_by_program(const splice_event& event) {
    auto address = Address::from_bytes(event.bound.in6);
    return is_unspecified(address) || !address.is_global() ? Address{} : address;
}

// Own name of a socket whose connect() has ended well; else why it has not.
Result<Endpoint> connected_as(int fd) {
    return smc_connected(fd).and_then([fd] { return own_name(fd); });
}

// Slow, in proportion to the SMC sockets there are: for what is remembered.
bool runs_over_smcd(int fd) {
    auto diag = DiagSocket::open();
    auto sockets = diag ? diag->smc() : tl::unexpected(diag.error());
    if (!sockets) {
        return false;
    }
    auto inode = socket_inode(fd);
    for (const auto& socket : *sockets) {
        if (socket.inode == inode) {
            return socket.mode == SmcMode::smcd;
        }
    }
    return false;
}

}  // namespace

Outgoing::Outgoing(SpliceContext& context, const Place& place, const splice_event& event,
                   std::function<void(Outgoing&)> on_ready)
    : context_(context),
      place_(place),
      event_(event),
      on_ready_(std::move(on_ready)),
      wanted_{Address::from_bytes(event.wanted.address.in6), event.wanted.port},
      bound_(bound_by_program(event)) {}

void Outgoing::begin() {
    asked_ns_ = context_.now_ns;
    auto peer = context_.view->peers.find(wanted_.address);
    auto direct = context_.direct.find(wanted_);
    if (direct != context_.direct.end() && context_.now_ns < direct->second) {
        connect_directly("not relayed by its agent");
    } else if (peer != context_.view->peers.end() && peer->second.splice_port != 0) {
        port_ = peer->second.splice_port;
        if (auto idle = bound_ == Address{} ? context_.pool.take({place_.hold(), wanted_.address})
                                            : std::nullopt) {
            reused_ = true;
            if (watch(std::move(*idle), State::calling_agent)) {
                greet();
                return;
            }
        }
        call_agent();
    } else {
        connect_directly("its agent does not relay");
    }
}

bool Outgoing::watch(Result<UniqueFd> wire, State next) {
    if (!wire) {
        return false;
    }
    wire_ = std::move(*wire);
    state_ = next;
    since_ns_ = context_.now_ns;
    return context_.poller.watch(wire_.get(), *this).has_value();
}

void Outgoing::drop_wire() {
    if (wire_) {
        context_.poller.unwatch(wire_.get());
        wire_.reset();
    }
}

// One that has served another may have ended in the meantime, which says nothing about the agent.
void Outgoing::agent_failed(const std::string& why) {
    if (reused_) {
        call_agent();
    } else {
        connect_directly(why);
    }
}

void Outgoing::call_agent() {
    reused_ = false;
    drop_wire();
    heard_.clear();
    auto wire = place_.open(
        [&] { return smc_connect(wanted_.address, port_, context_.options.buffer, bound_); });
    auto problem = wire ? std::string() : wire.error().message;
    if (!watch(std::move(wire), State::calling_agent)) {
        connect_directly("its agent: " + problem);
    }
}

void Outgoing::greet() {
    auto own = connected_as(wire_.get());
    if (!own) {
        connect_directly("its agent: " + own.error().message);
        return;
    }
    // The program's port, which no other connection of this namespace has, whatever the wire's is.
    local_ = {own->address, event_.way.port};
    auto header = encode_proxy({local_, wanted_});
    auto before = bytes_to_tcp(wire_.get());
    auto sent = send(wire_.get(), header.data(), header.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // What TCP gets to see did not go over SMC-D.
    if (sent != static_cast<ssize_t>(header.size()) || bytes_to_tcp(wire_.get()) != before) {
        agent_failed("no SMC-D with its agent");
        return;
    }
    state_ = State::waiting;
}

void Outgoing::read_replies() {
    std::array<std::uint8_t, 2 * kReplySize> buffer{};
    auto got = recv(wire_.get(), buffer.data(), buffer.size() - heard_.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        agent_failed("its agent ended the connection");
        return;
    }
    heard_.insert(heard_.end(), buffer.begin(), buffer.begin() + got);
    if (heard_.size() < kReplySize) {
        return;
    }
    auto hello = decode_reply(Bytes(heard_).first(kReplySize));
    if (!hello || hello->verdict != Verdict::hello) {
        on_verdict(hello ? hello->verdict : Verdict::version);
    } else if (heard_.size() == 2 * kReplySize) {
        version_ = hello->version;
        auto reply = decode_reply(Bytes(heard_).subspan(kReplySize));
        on_verdict(reply ? reply->verdict : Verdict::version);
    }
}

void Outgoing::on_verdict(Verdict verdict) {
    switch (verdict) {
        case Verdict::joined:
            over_smcd_ = true;
            context_.stats.relayed++;
            context_.stats.reused += reused_ ? 1 : 0;
            conclude(State::ready);
            return;
        case Verdict::refused:
            conclude(State::refused);
            return;
        case Verdict::version:
            context_.stats.disagreed++;
            break;
        case Verdict::denied:
            context_.direct[wanted_] = context_.now_ns + kLeaveAloneNs;
            break;
        case Verdict::hello:
        case Verdict::failed:
            break;
    }
    connect_directly(fmt::format("its agent: {}", to_string(verdict)));
}

// The server may be an SMC socket; if not, this is TCP.
void Outgoing::connect_directly(const std::string& why) {
    outcome_ = why + ", ";
    drop_wire();
    heard_.clear();
    form_ = Join::Form::raw;
    auto wire = place_.open([&] {
        return smc_connect(wanted_.address, wanted_.port, context_.options.buffer, bound_);
    });
    auto problem = wire ? std::string() : wire.error().message;
    if (!watch(std::move(wire), State::connecting)) {
        outcome_ += problem + ", ";
        conclude(State::refused);
    }
}

void Outgoing::on_connected() {
    auto own = connected_as(wire_.get());
    if (!own) {
        // Nothing but a refusal can be passed on: where nobody answers, the program's own time is
        // let run out.
        auto code = own.error().code;
        if (code == ETIMEDOUT || code == EHOSTUNREACH || code == ENETUNREACH) {
            spdlog::debug("{}: {}", to_string(wanted_), own.error().message);
            drop_wire();
            state_ = State::idle;
        } else {
            outcome_ += own.error().message + ", ";
            conclude(State::refused);
        }
        return;
    }
    local_ = *own;
    bool smcd = false;
    auto looked = place_.open([&]() -> Result<UniqueFd> {
        smcd = runs_over_smcd(wire_.get());
        return UniqueFd();
    });
    over_smcd_ = looked && smcd;
    if (over_smcd_) {
        context_.stats.native++;
    } else {
        context_.stats.plain++;
        context_.hooks.decline(wanted_, kLeaveAloneNs);
    }
    conclude(State::ready);
}

void Outgoing::on_events(std::uint32_t events) {
    if (state_ == State::connecting || state_ == State::calling_agent) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) {
            return;
        }
        keep_timers(context_.options.timers, wire_.get());
        if (state_ == State::connecting) {
            on_connected();
            return;
        }
        greet();
    }
    if (state_ == State::waiting) {
        read_replies();
    }
}

// An agent that has said hello is about to connect to the server, or has: to be asked again would
// be another connection there. It takes as long as the server does.
void Outgoing::tick() {
    auto waited = context_.now_ns - since_ns_;
    if ((state_ == State::calling_agent && waited > kCallNs) ||
        (state_ == State::waiting && heard_.empty() && waited > kHelloNs)) {
        agent_failed("its agent does not answer");
    }
}

// Every retry of a SYN waits twice as long as the one before it, so that the next one comes when
// the program has waited as long again.
std::uint64_t Outgoing::come_by_ns() const { return since_ns_ + (since_ns_ - asked_ns_) + kComeNs; }

void Outgoing::conclude(State state) {
    state_ = state;
    since_ns_ = context_.now_ns;
    outcome_ += state != State::ready ? "refused" : over_smcd_ ? "over SMC-D" : "over TCP";
    if (state == State::ready) {
        context_.poller.unwatch(wire_.get());
    } else {
        drop_wire();
    }
    on_ready_(*this);
}

}  // namespace smc_steer
