// SPDX-License-Identifier: Apache-2.0
#include "broker/wire.h"

#include <endian.h>
#include <sys/socket.h>

#include <bit>
#include <cstring>
#include <utility>

namespace smc_steer::broker {

std::array<std::byte, IVSHMEM_MSG_SIZE> encode_message(int64_t value) {
    return std::bit_cast<std::array<std::byte, IVSHMEM_MSG_SIZE>>(
        htole64(static_cast<uint64_t>(value)));
}

bool Outbox::push(int64_t value, SharedFd fd) {
    if (messages_.size() >= capacity_) {
        return false;
    }
    messages_.push_back(Message{encode_message(value), 0, std::move(fd)});
    return true;
}

// One sendmsg() per message: a descriptor belongs to the eight bytes it travels with, and QEMU
// reads them eight at a time.
Result<bool> Outbox::flush(int socket) {
    while (!messages_.empty()) {
        Message& message = messages_.front();
        iovec iov{message.bytes.data() + message.sent, message.bytes.size() - message.sent};
        msghdr header{};
        header.msg_iov = &iov;
        header.msg_iovlen = 1;
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
        if (message.fd) {
            header.msg_control = control.data();
            header.msg_controllen = control.size();
            cmsghdr* cmsg = CMSG_FIRSTHDR(&header);
            cmsg->cmsg_level = SOL_SOCKET;
            cmsg->cmsg_type = SCM_RIGHTS;
            cmsg->cmsg_len = CMSG_LEN(sizeof(int));
            int fd = message.fd->get();
            std::memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
        }
        ssize_t n = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                return false;
            }
            return fail_errno("cannot send");
        }
        message.fd.reset();
        message.sent += static_cast<size_t>(n);
        if (message.sent == message.bytes.size()) {
            messages_.pop_front();
        }
    }
    return true;
}

}  // namespace smc_steer::broker
