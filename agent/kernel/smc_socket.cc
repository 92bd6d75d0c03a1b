// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_socket.h"

#include <smc_steer/policy_abi.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

namespace smc_steer {
namespace {

constexpr int kBacklog = 1024;
constexpr int kSmallestBuffer = 16 << 10;  // bytes, SMC's smallest DMB

Result<UniqueFd> open_socket() {
    auto fd = open_stream(STEER_IPPROTO_SMC);
    if (!fd) {
        return fail_errno(errno, "cannot open an SMC socket");
    }
    const int buffer = kSmallestBuffer;
    for (int option : {SO_SNDBUFFORCE, SO_RCVBUFFORCE}) {
        setsockopt(fd.get(), SOL_SOCKET, option, &buffer, sizeof(buffer));
    }
    return fd;
}

}  // namespace

Result<UniqueFd> smc_listen(std::uint16_t port) {
    auto fd = open_socket();
    if (fd && !listen_on(fd->get(), port, kBacklog)) {
        return fail_errno(errno, "cannot listen for agents on port {}", port);
    }
    return fd;
}

Result<SmcAccepted> smc_accept(int listener) {
    SmcAccepted accepted;
    Endpoint peer;
    accepted.fd = accept_from(listener, peer);
    if (!accepted.fd) {
        // The last ones: what became of a connection before it was taken; it is off the queue.
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED || errno == ECONNRESET ||
            errno == EPIPE || errno == EPROTO || errno == ETIMEDOUT) {
            return accepted;
        }
        return fail_errno(errno, "cannot accept a link");
    }
    accepted.peer = peer.address;
    return accepted;
}

Result<UniqueFd> smc_connect(const Address& address, std::uint16_t port) {
    auto fd = open_socket();
    return fd ? begin_connect(std::move(*fd), {address, port}) : std::move(fd);
}

std::uint64_t socket_inode(int fd) {
    struct stat st {};
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

}  // namespace smc_steer
