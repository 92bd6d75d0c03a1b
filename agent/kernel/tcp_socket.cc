// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/tcp_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "agent/base/acceptor.h"

namespace smc_steer {
namespace {

constexpr int kBacklog = 128;
// A guest that stands still for so long has no agent to talk to.
constexpr int kSilenceSeconds = 5;

sockaddr_in6 sockaddr_of(const Endpoint& endpoint) {
    sockaddr_in6 sa{};
    sa.sin6_family = AF_INET6;
    sa.sin6_port = htons(endpoint.port);
    std::memcpy(&sa.sin6_addr, endpoint.address.in6.data(), sizeof(sa.sin6_addr));
    return sa;
}

void set(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof(value));
}

// Small messages, and news of an end that nobody sends.
void prepare(int fd) {
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, kSilenceSeconds);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, kSilenceSeconds);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 2 * kSilenceSeconds * 1000);
}

Result<UniqueFd> open_socket() {
    UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!fd) {
        return fail_errno("cannot open a TCP socket");
    }
    set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return fd;
}

}  // namespace

Result<UniqueFd> tcp_listen(std::uint16_t port) {
    auto fd = open_socket();
    if (!fd) {
        return fd;
    }
    set(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1);
    auto sa = sockaddr_of({Address{}, port});
    if (bind(fd->get(), reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) != 0 ||
        listen(fd->get(), kBacklog) != 0) {
        return fail_errno(errno, "cannot listen on TCP port {}", port);
    }
    return fd;
}

Result<TcpAccepted> tcp_accept(int listener) {
    sockaddr_in6 sa{};
    socklen_t length = sizeof(sa);
    TcpAccepted accepted;
    accepted.fd = UniqueFd(
        accept4(listener, reinterpret_cast<sockaddr*>(&sa), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!accepted.fd) {
        if (nobody_came(errno)) {
            return accepted;
        }
        return fail_errno("cannot accept another agent's connection");
    }
    prepare(accepted.fd.get());
    accepted.peer = {
        Address::from_bytes(std::span(reinterpret_cast<const std::uint8_t*>(&sa.sin6_addr), 16)),
        ntohs(sa.sin6_port)};
    return accepted;
}

Result<UniqueFd> tcp_connect(const Endpoint& to) {
    auto fd = open_socket();
    if (!fd) {
        return fd;
    }
    prepare(fd->get());
    auto sa = sockaddr_of(to);
    if (connect(fd->get(), reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) != 0 &&
        errno != EINPROGRESS) {
        return fail_errno(errno, "{}", to_string(to));
    }
    return fd;
}

Result<void> tcp_connected(int fd) {
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

}  // namespace smc_steer
