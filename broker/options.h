// SPDX-License-Identifier: Apache-2.0
// The command line of ivpci-broker, checked as far as it can be without touching anything.
#ifndef SMC_STEER_BROKER_OPTIONS_H
#define SMC_STEER_BROKER_OPTIONS_H

#include <string>
#include <variant>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "broker/config.h"

namespace smc_steer::broker {

struct Options {
    RegionConfig region;    // of --socket and its flags; not meant when `config` is set
    std::string config;     // file with regions; empty: none
    std::string pid_file;   // empty: none
    std::string state_dir;  // empty: none
    std::string control;    // socket for `status`; empty: none
    std::string metrics;    // ADDR:PORT; empty: none
    spdlog::level::level_enum log_level = spdlog::level::info;
};

// `ivpci-broker status`.
struct StatusCommand {
    std::string control;
    bool json = false;
};

// Text for --help or --version, to be printed on stdout.
struct Information {
    std::string text;
};

using Command = std::variant<Options, StatusCommand, Information>;

// `arguments`: without the program's name. `runtime_directory`: systemd's, or empty. An error is
// one line for the person who typed them.
Result<Command> parse_options(std::vector<std::string> arguments,
                              const std::string& runtime_directory = "");

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_OPTIONS_H
