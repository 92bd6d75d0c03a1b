// SPDX-License-Identifier: Apache-2.0
// A message of QEMU's ivshmem protocol (include/ivshmem/protocol.h) on a socket.
#ifndef SMC_STEER_BROKER_WIRE_H
#define SMC_STEER_BROKER_WIRE_H

#include <ivshmem/protocol.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "agent/base/result.h"

namespace smc_steer::broker {

// Little-endian, signed, IVSHMEM_MSG_SIZE bytes.
std::array<std::byte, IVSHMEM_MSG_SIZE> encode_message(int64_t value);

// Sends one message, with descriptor `fd` unless that is -1. Never waits. False: not now, nothing
// was sent (the socket is full, or too many descriptors are in flight). An error means that the
// client is lost.
Result<bool> send_message(int socket, int64_t value, int fd = -1);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_WIRE_H
