// SPDX-License-Identifier: Apache-2.0
// The command line of ivpci-broker, checked as far as it can be without touching anything.
#ifndef SMC_STEER_BROKER_OPTIONS_H
#define SMC_STEER_BROKER_OPTIONS_H

#include <ivpci/shm_abi.h>
#include <sys/types.h>

#include <string>
#include <variant>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"

namespace smc_steer::broker {

struct Options {
    std::string socket;
    std::string pid_file;  // empty: none
    ivpci_layout layout{};
    uint32_t vectors = 4;
    mode_t mode = 0600;
    spdlog::level::level_enum log_level = spdlog::level::info;
};

// Text for --help or --version, to be printed on stdout.
struct Information {
    std::string text;
};

// `arguments`: without the program's name. An error is one line for the person who typed them.
Result<std::variant<Options, Information>> parse_options(std::vector<std::string> arguments);

// The layout of `size` bytes and `slots` guests, or why there is none and what would do.
Result<ivpci_layout> make_layout(uint64_t size, uint32_t slots);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_OPTIONS_H
