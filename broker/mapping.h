// SPDX-License-Identifier: Apache-2.0
// A file mapped shared and writable, and its descriptor.
#ifndef SMC_STEER_BROKER_MAPPING_H
#define SMC_STEER_BROKER_MAPPING_H

#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

class Mapping {
public:
    // A fresh memfd of zeros, `size` bytes, that nobody can resize: a guest's QEMU that truncated
    // the region would kill everybody else with SIGBUS. `flags` as memfd_create's: MFD_HUGETLB.
    static Result<Mapping> memfd(const char* name, uint64_t size, unsigned flags = 0);

    // `size` bytes of `fd`, which must have that many.
    static Result<Mapping> of(UniqueFd fd, uint64_t size);

    // The file at `path`, mode 0600, made with `size` bytes of zeros if it is missing (`fresh`).
    // With `lock` it stays locked (flock) while the descriptor lives, so that it has one broker:
    // not for one that is handed out, since whoever has it has the lock.
    static Result<Mapping> file(const std::string& path, uint64_t size, bool lock, bool& fresh);

    Mapping() = default;
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&&) = delete;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    [[nodiscard]] std::byte* base() const { return base_; }
    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] int fd() const { return fd_.get(); }

private:
    UniqueFd fd_;
    std::byte* base_ = nullptr;
    uint64_t size_ = 0;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_MAPPING_H
