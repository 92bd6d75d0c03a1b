// SPDX-License-Identifier: Apache-2.0
// Device memory that can be taken away while we look at it.
#ifndef SMC_STEER_AGENT_PEERS_MAPPING_H
#define SMC_STEER_AGENT_PEERS_MAPPING_H

#include <cstddef>
#include <cstdint>

#include "agent/base/result.h"

namespace smc_steer {

// A part of a file in memory. When the device behind it goes away the driver takes the pages
// back and the next access raises SIGBUS: a handler, installed with the first mapping, puts
// zeros in their place, so that a reader finds an empty region instead of its death. SIGBUS
// outside of our mappings does what it always does. At most 8 at a time.
class Mapping {
public:
    static Result<Mapping> map(int fd, std::size_t length, bool writable, std::uint64_t offset);
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    void* get() const { return memory_; }

private:
    Mapping(void* memory, std::size_t length) : memory_(memory), length_(length) {}

    void* memory_ = nullptr;
    std::size_t length_ = 0;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_PEERS_MAPPING_H
