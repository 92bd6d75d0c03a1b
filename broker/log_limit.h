// SPDX-License-Identifier: Apache-2.0
// Keeps somebody who connects in a loop from filling the log.
#ifndef SMC_STEER_BROKER_LOG_LIMIT_H
#define SMC_STEER_BROKER_LOG_LIMIT_H

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace smc_steer::broker {

// `burst` lines at once, then one per `interval`.
class LogLimit {
public:
    LogLimit(uint32_t burst, std::chrono::milliseconds interval)
        : burst_(burst), interval_(interval), left_(burst) {}

    // May a line be written now? `suppressed()` is how many were not since the last that was.
    bool allow(std::chrono::steady_clock::time_point now) {
        auto earned = (now - since_) / interval_;
        if (earned > 0) {
            left_ = static_cast<uint32_t>(std::min<int64_t>(burst_, left_ + earned));
            since_ = now;
        }
        if (left_ == 0) {
            ++suppressed_;
            return false;
        }
        --left_;
        return true;
    }

    uint64_t suppressed() {
        uint64_t n = suppressed_;
        suppressed_ = 0;
        return n;
    }

private:
    uint32_t burst_;
    std::chrono::milliseconds interval_;
    uint32_t left_;
    uint64_t suppressed_ = 0;
    std::chrono::steady_clock::time_point since_{};
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_LOG_LIMIT_H
