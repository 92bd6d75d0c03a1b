// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/tcp_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "agent/base/acceptor.h"

namespace smc_steer {
namespace {

constexpr int kBacklog = 128;
// A guest that stands still for so long has no agent to talk to.
constexpr int kSilenceSeconds = 5;

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
    auto fd = open_stream(IPPROTO_TCP);
    if (!fd) {
        return fail_errno("cannot open a TCP socket");
    }
    return fd;
}

}  // namespace

Result<UniqueFd> tcp_listen(std::uint16_t port) {
    auto fd = open_socket();
    if (fd && !listen_on(fd->get(), port, kBacklog)) {
        return fail_errno(errno, "cannot listen on TCP port {}", port);
    }
    return fd;
}

Result<TcpAccepted> tcp_accept(int listener) {
    TcpAccepted accepted;
    accepted.fd = accept_from(listener, accepted.peer);
    if (!accepted.fd) {
        if (nobody_came(errno)) {
            return accepted;
        }
        return fail_errno("cannot accept another agent's connection");
    }
    prepare(accepted.fd.get());
    return accepted;
}

Result<UniqueFd> tcp_connect(const Endpoint& to) {
    auto fd = open_socket();
    if (!fd) {
        return fd;
    }
    prepare(fd->get());
    return begin_connect(std::move(*fd), to);
}

}  // namespace smc_steer
