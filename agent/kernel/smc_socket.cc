// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_socket.h"

#include <netinet/in.h>
#include <smc_steer/policy_abi.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace smc_steer {
namespace {

constexpr int kBacklog = 1024;
constexpr int kSmallestBuffer = 16 << 10;  // bytes, SMC's smallest DMB

sockaddr_in6 sockaddr_of(const Address& address, std::uint16_t port) {
    sockaddr_in6 sa{};
    sa.sin6_family = AF_INET6;
    sa.sin6_port = htons(port);
    std::memcpy(&sa.sin6_addr, address.in6.data(), sizeof(sa.sin6_addr));
    return sa;
}

// IPv6 for both families: IPv4 addresses are mapped ones.
Result<UniqueFd> open_socket() {
    UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, STEER_IPPROTO_SMC));
    if (!fd) {
        return fail_errno(errno, "cannot open an SMC socket");
    }
    const int no = 0;
    const int buffer = kSmallestBuffer;
    for (int option : {SO_SNDBUFFORCE, SO_RCVBUFFORCE}) {
        setsockopt(fd.get(), SOL_SOCKET, option, &buffer, sizeof(buffer));
    }
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    return fd;
}

}  // namespace

Result<UniqueFd> smc_listen(std::uint16_t port) {
    auto fd = open_socket();
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
    accepted.peer =
        Address::from_bytes(std::span(reinterpret_cast<const std::uint8_t*>(&sa.sin6_addr), 16));
    return accepted;
}

Result<UniqueFd> smc_connect(const Address& address, std::uint16_t port) {
    auto fd = open_socket();
    if (!fd) {
        return fd;
    }
    auto sa = sockaddr_of(address, port);
    if (connect(fd->get(), reinterpret_cast<sockaddr*>(&sa), sizeof(sa)) != 0 &&
        errno != EINPROGRESS) {
        return fail_errno(errno, "{}", to_string(address, port));
    }
    return fd;
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

std::uint64_t socket_inode(int fd) {
    struct stat st {};
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

}  // namespace smc_steer
