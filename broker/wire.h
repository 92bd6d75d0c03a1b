// SPDX-License-Identifier: Apache-2.0
// Messages of QEMU's ivshmem protocol (include/ivshmem/protocol.h) on their way to one client.
#ifndef SMC_STEER_BROKER_WIRE_H
#define SMC_STEER_BROKER_WIRE_H

#include <ivshmem/protocol.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

// A descriptor that several queues and the server may hold at a time.
using SharedFd = std::shared_ptr<const UniqueFd>;

// Little-endian, signed, IVSHMEM_MSG_SIZE bytes.
std::array<std::byte, IVSHMEM_MSG_SIZE> encode_message(int64_t value);

// What a client has not taken yet. It is bounded: a client that does not read gets dropped by its
// owner, and never makes the broker wait.
class Outbox {
public:
    explicit Outbox(size_t capacity) : capacity_(capacity) {}

    // False: full, nothing was queued.
    [[nodiscard]] bool push(int64_t value, SharedFd fd = nullptr);

    // Sends what the non-blocking `socket` takes. The value is true when nothing is left, false
    // when the socket is full; an error means that the client is lost.
    Result<bool> flush(int socket);

    [[nodiscard]] size_t size() const { return messages_.size(); }

private:
    struct Message {
        std::array<std::byte, IVSHMEM_MSG_SIZE> bytes;
        size_t sent = 0;
        SharedFd fd;  // goes with the first byte
    };
    size_t capacity_;
    std::deque<Message> messages_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_WIRE_H
