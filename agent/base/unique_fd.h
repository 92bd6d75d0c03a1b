// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_AGENT_BASE_UNIQUE_FD_H
#define SMC_STEER_AGENT_BASE_UNIQUE_FD_H

#include <unistd.h>

#include <utility>

namespace smc_steer {

// Owns a file descriptor; -1 is "none".
class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool valid() const { return fd_ >= 0; }
    explicit operator bool() const { return valid(); }

    // The caller becomes the owner.
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }

    // close() is not tried again on EINTR: on Linux the descriptor is gone by then.
    void reset(int fd = -1) {
        int old = std::exchange(fd_, fd);
        if (old >= 0 && old != fd) {
            ::close(old);
        }
    }

private:
    int fd_ = -1;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_UNIQUE_FD_H
