// SPDX-License-Identifier: Apache-2.0
// How much moved over SMC-D, period by period, over the last minutes. Pure.
#ifndef SMC_STEER_AGENT_DAEMON_THROUGHPUT_H
#define SMC_STEER_AGENT_DAEMON_THROUGHPUT_H

#include <cstddef>
#include <cstdint>
#include <deque>

namespace smc_steer {

struct Rate {
    std::uint64_t end_ns = 0;  // monotonic_ns() when the period ended
    std::uint64_t sent = 0;    // bytes per second
    std::uint64_t received = 0;
};

class Throughput {
public:
    static constexpr std::uint64_t kPeriodNs = 2'000'000'000;
    static constexpr std::size_t kPeriods = 150;  // five minutes, and no more memory than that

    // Totals of bytes. Calls within a period are for nothing; totals that are less than before
    // start anew (another session counts from zero).
    void add(std::uint64_t now_ns, std::uint64_t sent, std::uint64_t received);

    // Oldest first.
    const std::deque<Rate>& rates() const { return rates_; }

    // Bytes per second over the last `seconds`, or over as much of them as there is.
    Rate mean(std::uint64_t seconds) const;

private:
    std::deque<Rate> rates_;
    std::uint64_t last_ns_ = 0;
    std::uint64_t last_sent_ = 0;
    std::uint64_t last_received_ = 0;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_THROUGHPUT_H
