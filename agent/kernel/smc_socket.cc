// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <smc_steer/policy_abi.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

namespace smc_steer {
namespace {

constexpr int kBacklog = 1024;
constexpr int kSmcIpv6 = 1;  // SMCPROTO_SMC6, net/smc/smc.h

sockaddr_in6 sockaddr_of(const Address& address, std::uint16_t port) {
    sockaddr_in6 sa{};
    sa.sin6_family = AF_INET6;
    sa.sin6_port = htons(port);
    std::memcpy(&sa.sin6_addr, address.in6.data(), sizeof(sa.sin6_addr));
    return sa;
}

Endpoint endpoint_of(const sockaddr_in6& sa) {
    return {
        Address::from_bytes(std::span(reinterpret_cast<const std::uint8_t*>(&sa.sin6_addr), 16)),
        ntohs(sa.sin6_port)};
}

// IPv6 for both families: IPv4 addresses are mapped ones.
Result<UniqueFd> open_socket(int buffer) {
    constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    // Each time the kernel does not know a protocol it runs modprobe, twice.
    static std::atomic<bool> unknown{false};
    UniqueFd fd;
    if (!unknown) {
        fd = UniqueFd(socket(AF_INET6, kType, STEER_IPPROTO_SMC));
        unknown = !fd && errno == EPROTONOSUPPORT;
    }
    if (unknown) {
        fd = UniqueFd(socket(AF_SMC, kType, kSmcIpv6));
    }
    if (!fd) {
        return fail_errno(errno, "cannot open an SMC socket");
    }
    const int no = 0;
    for (int option : {SO_SNDBUFFORCE, SO_RCVBUFFORCE}) {
        setsockopt(fd.get(), SOL_SOCKET, option, &buffer, sizeof(buffer));
    }
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    return fd;
}

bool bind_to(int fd, const Address& address) {
    auto sa = sockaddr_of(address, 0);
    return bind(fd, reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) == 0;
}

template <typename Call>
Result<Endpoint> name_by(Call call, int fd) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    if (call(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
        return fail_errno(errno, "cannot ask for a socket's address");
    }
    if (storage.ss_family == AF_INET) {
        const auto& sa = reinterpret_cast<const sockaddr_in&>(storage);
        return Endpoint{
            Address::from_bytes(std::span(reinterpret_cast<const std::uint8_t*>(&sa.sin_addr), 4)),
            ntohs(sa.sin_port)};
    }
    return endpoint_of(reinterpret_cast<const sockaddr_in6&>(storage));
}

}  // namespace

Result<UniqueFd> smc_listen(std::uint16_t port, int buffer) {
    auto fd = open_socket(buffer);
    if (!fd) {
        return fd;
    }
    const int yes = 1;
    setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    auto sa = sockaddr_of({}, port);
    if (bind(fd->get(), reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) != 0 ||
        listen(fd->get(), kBacklog) != 0) {
        return fail_errno(errno, "cannot listen for agents on port {}", port);
    }
    return fd;
}

Result<SmcAccepted> smc_accept(int listener) {
    sockaddr_in6 sa{};
    socklen_t length = sizeof(sa);
    SmcAccepted accepted;
    accepted.fd = UniqueFd(
        accept4(listener, reinterpret_cast<sockaddr*>(&sa), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!accepted.fd) {
        // The last ones: what became of a connection before it was taken; it is off the queue.
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED || errno == ECONNRESET ||
            errno == EPIPE || errno == EPROTO || errno == ETIMEDOUT) {
            return accepted;
        }
        return fail_errno(errno, "cannot accept a link");
    }
    auto peer = endpoint_of(sa);
    accepted.peer = peer.address;
    accepted.port = peer.port;
    return accepted;
}

Result<UniqueFd> smc_connect(const Address& address, std::uint16_t port, int buffer,
                             const Address& from) {
    auto fd = open_socket(buffer);
    if (!fd) {
        return fd;
    }
    if (from != Address{} && !bind_to(fd->get(), from)) {
        return fail_errno(errno, "cannot connect from {}", to_string(from));
    }
    if (auto done = begin_connect(fd->get(), {address, port}); !done) {
        return tl::unexpected(done.error());
    }
    return fd;
}

Result<UniqueFd> tcp_bound(const Address& from) {
    UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    const int yes = 1;
    if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        !bind_to(fd.get(), from)) {
        return fail_errno(errno, "cannot connect from {}", to_string(from));
    }
    return fd;
}

Result<void> begin_connect(int fd, const Endpoint& to) {
    auto sa = sockaddr_of(to.address, to.port);
    if (connect(fd, reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) != 0 && errno != EINPROGRESS) {
        return fail_errno(errno, "{}", to_string(to));
    }
    return {};
}

Result<void> smc_connected(int fd) {
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        error = errno;
    }
    if (error) {
        return tl::unexpected(Error{std::strerror(error), error});
    }
    return {};
}

Result<Endpoint> own_name(int fd) { return name_by(getsockname, fd); }
Result<Endpoint> peer_name(int fd) { return name_by(getpeername, fd); }

std::uint64_t bytes_to_tcp(int fd) {
    tcp_info info{};
    socklen_t length = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
        return 0;
    }
    return info.tcpi_bytes_sent + info.tcpi_notsent_bytes;
}

std::uint64_t socket_inode(int fd) {
    struct stat st {};
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

}  // namespace smc_steer
