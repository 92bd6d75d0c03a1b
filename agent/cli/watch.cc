// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "agent/cli/command.h"

namespace smc_steer {
namespace {

constexpr const char* kHome = "\x1b[H\x1b[J";  // to the upper left corner, and clear

}  // namespace

Result<double> parse_seconds(const std::string& text) {
    char* end = nullptr;
    double seconds = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !std::isfinite(seconds) || seconds < 0.1 ||
        seconds > 3600) {
        return fail("'{}' is not a period: give seconds, 0.1 to 3600", text);
    }
    return seconds;
}

int watch(double seconds, const std::function<Result<std::string>()>& look) {
    bool terminal = isatty(STDOUT_FILENO) != 0;
    for (;;) {
        auto text = look();
        if (!text) {
            return complain(text.error().message, kExitFailure);
        }
        fmt::print("{}{}", terminal ? kHome : "", *text);
        if (std::fflush(stdout) != 0) {
            return kExitFailure;  // nobody reads on
        }
        std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    }
}

}  // namespace smc_steer
