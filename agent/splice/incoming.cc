// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/incoming.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/kernel/smc_socket.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kHeaderNs = 5'000'000'000;
constexpr std::uint64_t kNextNs = 30'000'000'000;

}  // namespace

Incoming::Incoming(SpliceContext& context, const Place& place, UniqueFd wire,
                   const Endpoint& client, std::optional<std::vector<std::uint8_t>> heard,
                   std::function<void(Incoming&)> on_end)
    : context_(context),
      place_(place),
      wire_(std::move(wire)),
      watcher_(*this),
      client_(client),
      on_end_(std::move(on_end)),
      since_ns_(context.now_ns),
      reused_(heard.has_value()) {
    if (heard) {
        heard_ = std::move(*heard);
    }
}

Incoming::~Incoming() {
    if (announced_) {
        context_.hooks.forget(caller_);
    }
}

std::function<void()> Incoming::take_announcement() {
    announced_ = false;
    return [&hooks = context_.hooks, caller = caller_] { hooks.forget(caller); };
}

void Incoming::begin() {
    auto own = own_name(wire_.get());
    if (!own || !context_.poller.watch(wire_.get(), *this)) {
        end(false);
        return;
    }
    server_ = *own;
    // A program's own connection to the server's port, not an agent's to ours.
    if (server_.port != context_.options.port) {
        form_ = Join::Form::raw;
        connect_server();
    } else if (reused_) {
        read_header();
    }
}

void Incoming::read_header() {
    std::array<std::uint8_t, kProxyMost> buffer{};
    // Not a byte more: what follows is the connection's.
    std::size_t wanted = kProxyFixed;
    if (heard_.size() >= kProxyFixed) {
        auto length = proxy_length(heard_);
        wanted = length ? *length : 0;
    }
    // A reused wire may have brought the start of it, and never more than it.
    while (heard_.size() < wanted) {
        auto got = recv(wire_.get(), buffer.data(), wanted - heard_.size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            end(false);  // a reused wire that is not needed any more, most of the time
            return;
        }
        heard_.insert(heard_.end(), buffer.begin(), buffer.begin() + got);
        if (heard_.size() == kProxyFixed) {
            auto length = proxy_length(heard_);
            if (!length) {
                context_.stats.strangers++;
                end(false);
                return;
            }
            wanted = *length;
        }
    }
    auto header = decode_proxy(heard_);
    if (!header) {
        context_.stats.strangers++;
        spdlog::debug("{}: {}", to_string(client_), header.error().message);
        end(false);
        return;
    }
    on_header(*header);
}

void Incoming::on_header(const ProxyHeader& header) {
    auto version = agree(header);
    if (!version) {
        context_.stats.disagreed++;
        answer(kWireMost, Verdict::version);
        end(false);
        return;
    }
    version_ = *version;
    // Nobody speaks for somebody else, or for another address of ours.
    if (header.source.address != client_.address || header.destination.address != server_.address) {
        context_.stats.strangers++;
        spdlog::debug("{} says that it is {} and we are {}", to_string(client_),
                      to_string(header.source), to_string(header.destination));
        end(false);
        return;
    }
    client_.port = header.source.port;
    server_.port = header.destination.port;
    // Who is not a member of the region has no SMC-D with us, and TCP gets to see the answer.
    auto before = bytes_to_tcp(wire_.get());
    if (!answer(version_, Verdict::hello) || bytes_to_tcp(wire_.get()) != before) {
        context_.stats.strangers++;
        end(false);
        return;
    }
    connect_server();
}

bool Incoming::answer(std::uint8_t version, Verdict verdict) {
    auto reply = encode_reply({version, verdict});
    return send(wire_.get(), reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
           static_cast<ssize_t>(reply.size());
}

void Incoming::connect_server() {
    Connection connection;
    connection.way = Direction::in;
    connection.port = server_.port;
    connection.peer = client_.address.in6;
    if (!context_.view->policy || !adopts(*context_.view->policy, connection)) {
        context_.stats.denied++;
        if (form_ == Join::Form::framed) {
            answer(version_, Verdict::denied);
        }
        end(false);
        return;
    }
    // From the server's own address, as with any connection within a machine; and from a port that
    // is known before the SYN goes out.
    auto local = place_.open([&] { return tcp_bound(server_.address); });
    auto own = local ? own_name(local->get()) : tl::unexpected(local.error());
    if (!own) {
        spdlog::debug("{}", own.error().message);
        answer(version_, Verdict::failed);
        end(false);
        return;
    }
    caller_.netns = place_.cookie();
    std::memcpy(caller_.address.in6, own->address.in6.data(), sizeof(caller_.address.in6));
    caller_.port = own->port;
    caller_.server = server_.port;
    auto announced = context_.hooks.announce(caller_, client_);
    announced_ = announced.has_value();
    local_ = std::move(*local);
    if (!announced || !begin_connect(local_.get(), server_) ||
        !context_.poller.watch(local_.get(), watcher_)) {
        answer(version_, Verdict::failed);
        end(false);
    }
}

void Incoming::Server::on_events(std::uint32_t events) {
    if (!incoming.over_ && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        incoming.on_connected();
    }
}

void Incoming::on_connected() {
    auto connected = smc_connected(local_.get());
    bool framed = form_ == Join::Form::framed;
    if (!connected) {
        bool refused = connected.error().code == ECONNREFUSED;
        if (framed) {
            answer(version_, refused ? Verdict::refused : Verdict::failed);
        }
        end(false);
        return;
    }
    if (framed && !answer(version_, Verdict::joined)) {
        end(false);
        return;
    }
    (framed ? context_.stats.incoming : context_.stats.adopted)++;
    end(true);
}

void Incoming::on_events(std::uint32_t /*events*/) {
    if (over_) {
        return;
    }
    // Later the peer has nothing to say before it is answered; an end is seen when it is.
    if (form_ == Join::Form::framed && !local_) {
        read_header();
    }
}

void Incoming::tick() {
    bool reading = form_ == Join::Form::framed && !local_;
    if (!over_ && reading && context_.now_ns - since_ns_ > (reused_ ? kNextNs : kHeaderNs)) {
        context_.stats.strangers += reused_ ? 0 : 1;
        end(false);
    }
}

void Incoming::end(bool joined) {
    over_ = true;
    joined_ = joined;
    context_.poller.unwatch(wire_.get());
    if (local_) {
        context_.poller.unwatch(local_.get());
    }
    on_end_(*this);
}

}  // namespace smc_steer
