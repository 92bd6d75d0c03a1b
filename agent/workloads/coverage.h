// SPDX-License-Identifier: Apache-2.0
// How long it took from a new control group to its sockets being decided about. Pure.
#ifndef SMC_STEER_AGENT_WORKLOADS_COVERAGE_H
#define SMC_STEER_AGENT_WORKLOADS_COVERAGE_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace smc_steer {

class Coverage {
public:
    static constexpr std::array<std::uint64_t, 9> kBoundsMs{1, 2, 5, 10, 20, 50, 100, 200, 500};

    // A control group that needed an entry of its own got it after so long.
    void add(std::uint64_t nanoseconds) {
        sum_ns_ += nanoseconds;
        most_ns_ = std::max(most_ns_, nanoseconds);
        std::size_t i = 0;
        while (i < kBoundsMs.size() && nanoseconds > kBoundsMs[i] * 1'000'000) {
            i++;
        }
        counts_[i]++;
    }
    // A container's that was made inside a steered one: covered from its birth.
    void add_inside() { inside_++; }

    std::uint64_t count() const {
        std::uint64_t all = 0;
        for (auto n : counts_) {
            all += n;
        }
        return all;
    }
    // By bounds; the last one is of those beyond.
    const std::array<std::uint64_t, kBoundsMs.size() + 1>& counts() const { return counts_; }
    std::uint64_t sum_ns() const { return sum_ns_; }
    std::uint64_t most_ns() const { return most_ns_; }
    std::uint64_t inside() const { return inside_; }

private:
    std::array<std::uint64_t, kBoundsMs.size() + 1> counts_{};
    std::uint64_t sum_ns_ = 0, most_ns_ = 0, inside_ = 0;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_WORKLOADS_COVERAGE_H
