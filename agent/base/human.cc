// SPDX-License-Identifier: Apache-2.0
#include "agent/base/human.h"

#include <fmt/format.h>

#include <array>

namespace smc_steer {

std::string human_bytes(std::uint64_t bytes) {
    static constexpr std::array<const char*, 5> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024) {
        return fmt::format("{} B", bytes);
    }
    auto value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < kUnits.size()) {
        value /= 1024;
        unit++;
    }
    return fmt::format("{:.1f} {}", value, kUnits.at(unit));
}

std::string human_time(double seconds) {
    if (seconds < 60) {
        return fmt::format("{:.1f}s", seconds);
    }
    auto whole = static_cast<std::uint64_t>(seconds);
    if (whole < 3600) {
        return fmt::format("{}m{:02}s", whole / 60, whole % 60);
    }
    return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

}  // namespace smc_steer
