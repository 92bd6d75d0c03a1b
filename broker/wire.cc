// SPDX-License-Identifier: Apache-2.0
#include "broker/wire.h"

#include <endian.h>
#include <sys/socket.h>

#include <bit>
#include <cstring>

namespace smc_steer::broker {

std::array<std::byte, IVSHMEM_MSG_SIZE> encode_message(int64_t value) {
    return std::bit_cast<std::array<std::byte, IVSHMEM_MSG_SIZE>>(
        htole64(static_cast<uint64_t>(value)));
}

// One sendmsg() per message: a descriptor belongs to the eight bytes it travels with, and QEMU
// reads them eight at a time. Eight bytes are one buffer of a UNIX socket: sent whole or not.
Result<bool> send_message(int socket, int64_t value, int fd) {
    auto bytes = encode_message(value);
    iovec iov{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    if (fd >= 0) {
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        cmsghdr* cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    }
    ssize_t n = 0;
    do {
        n = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        // ETOOMANYREFS counts what all our clients have not read: not this one's fault.
        if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM) {
            return false;
        }
        return fail_errno("cannot send");
    }
    if (static_cast<size_t>(n) != bytes.size()) {
        return fail("cannot send: {} bytes of a message went out", n);
    }
    return true;
}

}  // namespace smc_steer::broker
