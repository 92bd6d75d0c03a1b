// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/stream_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace smc_steer {
namespace {

sockaddr_in6 sockaddr_of(const Endpoint& endpoint) {
    sockaddr_in6 sa{};
    sa.sin6_family = AF_INET6;
    sa.sin6_port = htons(endpoint.port);
    std::memcpy(&sa.sin6_addr, endpoint.address.in6.data(), sizeof(sa.sin6_addr));
    return sa;
}

}  // namespace

UniqueFd open_stream(int protocol) {
    UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    const int no = 0;
    if (fd) {
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    }
    return fd;
}

bool listen_on(int fd, std::uint16_t port, int backlog) {
    const int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    auto sa = sockaddr_of({Address{}, port});
    return bind(fd, reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) == 0 && listen(fd, backlog) == 0;
}

UniqueFd accept_from(int listener, Endpoint& peer) {
    sockaddr_in6 sa{};
    socklen_t length = sizeof(sa);
    UniqueFd fd(
        accept4(listener, reinterpret_cast<sockaddr*>(&sa), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    peer = {
        Address::from_bytes(std::span(reinterpret_cast<const std::uint8_t*>(&sa.sin6_addr), 16)),
        ntohs(sa.sin6_port)};
    return fd;
}

Result<UniqueFd> begin_connect(UniqueFd fd, const Endpoint& to) {
    auto sa = sockaddr_of(to);
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) != 0 &&
        errno != EINPROGRESS) {
        return fail_errno(errno, "{}", to_string(to));
    }
    return fd;
}

Result<void> connect_ended(int fd) {
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
