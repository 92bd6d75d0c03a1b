// SPDX-License-Identifier: Apache-2.0
// When a connection is worth rings of shared memory, and when no longer. Pure.
#ifndef SMC_STEER_AGENT_DIRECT_HEAT_H
#define SMC_STEER_AGENT_DIRECT_HEAT_H

#include <algorithm>
#include <cstdint>

namespace smc_steer {

// agent.yaml's `offload`.
struct OffloadLimits {
    int after_bytes = 64 << 10;  // from one look at a connection to the next, both ways
    int after_messages = 32;     // or so many packets with data
    int after_ms = 0;            // or none of them, but older than this and in use; 0: off
    int idle_ms = 10'000;        // without a byte: its rings go to who needs them
    int ring = 1 << 20;          // bytes of each way, where there is room
    int share = 25;  // per cent of the rings, for a control group where others want some
};

inline constexpr int kSmallestRing = 16 << 10;

// Both ways, since the connection began.
struct Traffic {
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;

    bool operator==(const Traffic&) const = default;
};

// Of a connection that was looked at twice. Who ends before the second look was short.
inline bool is_hot(const OffloadLimits& limits, const Traffic& before, const Traffic& now) {
    return now.bytes - before.bytes >= static_cast<std::uint64_t>(limits.after_bytes) ||
           now.messages - before.messages >= static_cast<std::uint64_t>(limits.after_messages);
}

// Of one that moved something since the last look, `pause_ns` after it last did: it is old enough,
// and would not have given rings back meanwhile. One that speaks more seldom would be moved for
// each word.
inline bool is_lasting(const OffloadLimits& limits, std::uint64_t age_ns, std::uint64_t pause_ns) {
    constexpr std::uint64_t kMillisecond = 1'000'000;
    return limits.after_ms &&
           age_ns >= static_cast<std::uint64_t>(limits.after_ms) * kMillisecond &&
           pause_ns < static_cast<std::uint64_t>(limits.idle_ms) * kMillisecond;
}

// How long a connection is left alone that could not be moved `failures` times in a row.
inline std::uint64_t pause_ns(unsigned failures) {
    constexpr std::uint64_t kFirst = 1'000'000'000, kMost = 60'000'000'000;
    return std::min(kMost, kFirst << std::min(failures, 10U));
}

// Does a connection that moved `cold_bytes` lately give its rings to one that moved `hot_bytes`.
// Not before it is a quarter of it: two that are alike would take each other's for ever.
inline bool gives_way(std::uint64_t cold_bytes, std::uint64_t hot_bytes) {
    return cold_bytes < hot_bytes / 4;
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DIRECT_HEAT_H
