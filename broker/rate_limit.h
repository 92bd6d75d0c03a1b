// SPDX-License-Identifier: Apache-2.0
// Keeps somebody who does a thing in a loop from filling the log, or from waking everybody each
// time.
#ifndef SMC_STEER_BROKER_RATE_LIMIT_H
#define SMC_STEER_BROKER_RATE_LIMIT_H

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace smc_steer::broker {

// `burst` times at once, then once per `interval`.
class RateLimit {
public:
    RateLimit(uint32_t burst, std::chrono::milliseconds interval)
        : burst_(burst), interval_(interval), left_(burst) {}

    // Once more now? `suppressed()` is how many times it was not since the last time that it was.
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

#endif  // SMC_STEER_BROKER_RATE_LIMIT_H
