// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/place.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <iterator>
#include <mutex>
#include <set>
#include <utility>

#include "agent/kernel/netns.h"
#include "agent/kernel/smc_socket.h"

namespace smc_steer {
namespace {

constexpr int kBacklog = 4096;
constexpr int kTries = 64;
#ifndef SO_NETNS_COOKIE
constexpr int SO_NETNS_COOKIE = 71;  // NOLINT(readability-identifier-naming): the kernel's
#endif

// Of the loopback interface. -1 with errno: not to be had.
UniqueFd bind_loopback(int family, std::uint16_t port) {
    UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!fd) {
        return fd;
    }
    int bound = -1;
    if (family == AF_INET) {
        sockaddr_in sa{};
        sa.sin_family = AF_INET;
        sa.sin_port = htons(port);
        sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&sa), sizeof(sa));
    } else {
        sockaddr_in6 sa{};
        sa.sin6_family = AF_INET6;
        sa.sin6_port = htons(port);
        sa.sin6_addr = in6addr_loopback;
        bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&sa), sizeof(sa));
    }
    if (bound != 0) {
        fd.reset();
    }
    return fd;
}

// SYNs get no answer: its filter takes them. What is of a connection gets a reset, as on any port:
// the agent's end of it is gone.
bool listen_deaf(const UniqueFd& fd) {
    constexpr std::uint32_t kFlags = 13;  // in TCP's header
    sock_filter no_syn[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, kFlags},
        {BPF_ALU | BPF_AND | BPF_K, 0, 0, TH_SYN | TH_ACK},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, TH_SYN},
        {BPF_RET | BPF_K, 0, 0, 0},
        {BPF_RET | BPF_K, 0, 0, UINT32_MAX},
    };
    sock_fprog program{std::size(no_syn), no_syn};
    return setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0 &&
           ::listen(fd.get(), 1) == 0;
}

bool has_ipv6() { return bind_loopback(AF_INET6, 0).valid(); }

Result<UniqueFd> listen_loopback(int family) {
    auto fd = bind_loopback(family, 0);
    if (!fd || ::listen(fd.get(), kBacklog) != 0) {
        return fail_errno(errno, "cannot listen on the loopback interface");
    }
    return fd;
}

// Ports that are held in any network namespace: BPF tells namespaces apart by them. Places are made
// in one thread and destroyed in another.
class HeldPorts {
public:
    bool insert(std::uint16_t port) {
        std::lock_guard lock(mutex_);
        return ports_.insert(port).second;
    }
    void erase(std::uint16_t port) {
        std::lock_guard lock(mutex_);
        ports_.erase(port);
    }

private:
    std::mutex mutex_;
    std::set<std::uint16_t> ports_;
} held_ports;

}  // namespace

Result<std::unique_ptr<Place>> Place::make(const SpliceHooks& hooks, UniqueFd netns,
                                           const SpliceOptions& options) {
    std::unique_ptr<Place> self(new Place(hooks, std::move(netns)));
    auto work = [&] { return self->set_up(options); };
    auto done = self->netns_ ? run_in_netns(self->netns_, work) : work();
    if (!done) {
        return tl::unexpected(done.error());
    }
    return self;
}

// The relay's entry in the map comes last: until then nothing is sent here.
Result<void> Place::set_up(const SpliceOptions& options) {
    auto agents = smc_listen(options.port, options.buffer);
    if (!agents) {
        return tl::unexpected(agents.error());
    }
    agents_ = std::move(*agents);
    keep_timers(options.timers, agents_.get());
    socklen_t length = sizeof(cookie_);
    if (getsockopt(agents_.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie_, &length) != 0) {
        return fail_errno(errno, "cannot ask for the network namespace's cookie");
    }
    splice_relay relay{};
    if (options.outgoing) {
        for (auto step : {&Place::hold_port, &Place::listen}) {
            if (auto done = (this->*step)(); !done) {
                return done;
            }
        }
        relay.hold = hold_;
        relay.flags = hold6_ ? SPLICE_IPV6 : 0;
    }
    if (hooks_.joins()) {
        relay.flags |= SPLICE_JOIN;
    }
    return hooks_.set_relay(cookie_, relay);
}

Result<void> Place::hold_port() {
    bool ipv6 = has_ipv6();
    for (int i = 0; i < kTries; i++) {
        hold4_ = bind_loopback(AF_INET, 0);
        auto name = hold4_ ? own_name(hold4_.get()) : fail_errno(errno, "no port");
        if (!name) {
            return tl::unexpected(with_context(name.error(), "cannot hold connections"));
        }
        if (ipv6) {
            hold6_ = bind_loopback(AF_INET6, name->port);
        }
        if ((!ipv6 || hold6_) && listen_deaf(hold4_) && (!ipv6 || listen_deaf(hold6_)) &&
            held_ports.insert(name->port)) {
            hold_ = name->port;
            return {};
        }
    }
    return fail("cannot hold connections: no port is free for IPv4 and IPv6");
}

Result<void> Place::listen() {
    UniqueFd own;
    if (!netns_) {
        own = UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }
    auto lookup = hooks_.attach_lookup(netns_ ? netns_.get() : own.get());
    if (!lookup) {
        return tl::unexpected(lookup.error());
    }
    lookup_ = std::move(*lookup);
    struct {
        int family;
        UniqueFd& fd;
        bool wanted;
    } const listeners[] = {{AF_INET, listener4_, true}, {AF_INET6, listener6_, hold6_.valid()}};
    for (const auto& listener : listeners) {
        if (!listener.wanted) {
            continue;
        }
        auto fd = listen_loopback(listener.family);
        if (!fd) {
            return tl::unexpected(fd.error());
        }
        splice_place place{hold_, static_cast<std::uint16_t>(listener.family)};
        if (auto done = hooks_.set_listener(place, fd->get()); !done) {
            return done;
        }
        listener.fd = std::move(*fd);
    }
    return {};
}

Place::~Place() {
    if (cookie_ != 0) {
        hooks_.remove_relay(cookie_);
    }
    held_ports.erase(hold_);
}

Result<UniqueFd> Place::open(const std::function<Result<UniqueFd>()>& make) const {
    if (!netns_) {
        return make();
    }
    Result<UniqueFd> made = UniqueFd();
    auto done = run_in_netns(netns_, [&]() -> Result<void> {
        made = make();
        return {};
    });
    if (!done) {
        return tl::unexpected(done.error());
    }
    return made;
}

}  // namespace smc_steer
