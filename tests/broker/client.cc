// SPDX-License-Identifier: Apache-2.0
#include "tests/broker/client.h"

#include <endian.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <ivshmem/protocol.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>

namespace smc_steer::tests {
namespace {

bool readable(int fd, milliseconds limit) {
    pollfd p{fd, POLLIN, 0};
    return poll(&p, 1, static_cast<int>(limit.count())) > 0;
}

}  // namespace

Client::Client(const std::string& path) {
    socket_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0)
        << path << ": " << strerror(errno);
}

std::optional<Message> Client::receive(milliseconds limit) {
    if (!readable(socket_.get(), limit)) {
        return std::nullopt;
    }
    uint64_t raw = 0;
    iovec iov{&raw, sizeof(raw)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    if (recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | MSG_WAITALL) != sizeof(raw)) {
        return std::nullopt;
    }
    Message message;
    message.value = static_cast<int64_t>(le64toh(raw));
    if (cmsghdr* cmsg = CMSG_FIRSTHDR(&header)) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
        message.fd.reset(fd);
    }
    return message;
}

void Client::take(Message message) {
    auto peer = static_cast<uint32_t>(message.value);
    if (message.fd) {
        peers[peer].push_back(std::move(message.fd));
    } else {
        peers.erase(peer);
    }
}

bool Client::introduce(uint32_t vectors) {
    auto version = receive();
    if (!version) {
        return false;
    }
    EXPECT_EQ(version->value, IVSHMEM_PROTOCOL_VERSION);
    EXPECT_FALSE(version->fd);
    auto own_id = receive();
    auto memory = receive();
    if (!own_id || !memory || memory->value != IVSHMEM_MSG_SHM || !memory->fd) {
        return false;
    }
    EXPECT_FALSE(own_id->fd);
    id = static_cast<uint32_t>(own_id->value);
    order = {version->value, own_id->value, memory->value};

    struct stat st {};
    EXPECT_EQ(fstat(memory->fd.get(), &st), 0);
    auto size = static_cast<size_t>(st.st_size);
    void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(), 0);
    if (base == MAP_FAILED) {
        return false;
    }
    region_ = {static_cast<std::byte*>(base), Unmap{size}};
    region_fd_ = std::move(memory->fd);
    EXPECT_EQ(ivpci_layout_init(&layout, size, header().slots), 0);

    while (peers[id].size() < vectors) {
        auto message = receive();
        if (!message) {
            return false;
        }
        order.push_back(message->value);
        take(std::move(*message));
    }
    return true;
}

bool Client::follow(const std::function<bool()>& done, milliseconds limit) {
    return eventually(
        [&] {
            while (auto message = receive(milliseconds(0))) {
                take(std::move(*message));
            }
            return done();
        },
        limit);
}

bool Client::rung(uint32_t vector, milliseconds limit) {
    int fd = peers[id].at(vector).get();
    eventfd_t count = 0;
    return readable(fd, limit) && eventfd_read(fd, &count) == 0;
}

void Client::ring(uint32_t peer, uint32_t vector) {
    EXPECT_EQ(eventfd_write(peers[peer].at(vector).get(), 1), 0);
}

std::optional<uint32_t> Client::join() {
    std::memset(static_cast<void*>(&ctl()), 0, sizeof(ivpci_ctl));
    ctl().version = IVPCI_SHM_VERSION;
    ctl().vectors = static_cast<uint32_t>(peers[id].size());
    ctl().req_seq = own().ack_seq;
    return request(IVPCI_OP_JOIN);
}

std::optional<uint32_t> Client::request(uint32_t op, uint32_t arg) {
    ctl().req_op = op;
    ctl().req_arg = arg;
    uint32_t seq = ctl().req_seq + 1;
    std::atomic_ref(ctl().req_seq).store(seq, std::memory_order_release);
    ring(IVPCI_BROKER_SLOT, IVPCI_VECTOR_CONTROL);
    auto& ack = header().slot[id].ack_seq;
    if (!eventually([&] { return std::atomic_ref(ack).load() == seq; })) {
        return std::nullopt;
    }
    return own().ack_status;
}

volatile uint32_t& Client::claim(uint32_t owner, uint32_t index) const {
    return reinterpret_cast<volatile uint32_t*>(
        region_.get() + ivpci_area(&layout, id) +
        layout.claim_off)[static_cast<size_t>(owner) * IVPCI_DMBS + index];
}

void Client::close() { socket_.reset(); }

void Unmap::operator()(std::byte* base) const { munmap(base, size); }

}  // namespace smc_steer::tests
