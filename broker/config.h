// SPDX-License-Identifier: Apache-2.0
// What a region is to be, from a YAML file or from the command line. Pure: text in, regions out.
#ifndef SMC_STEER_BROKER_CONFIG_H
#define SMC_STEER_BROKER_CONFIG_H

#include <ivpci/shm_abi.h>
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace smc_steer::broker {

enum class Memory { kMemfd, kHugetlb };

struct RegionConfig {
    std::string name = "default";  // [a-z0-9_-], 1 to 32 characters: also part of file names
    std::string socket;
    ivpci_layout layout{};
    uint32_t vectors = 4;
    std::optional<uid_t> owner;  // of the socket; none: the broker's
    std::optional<gid_t> group;
    mode_t mode = 0600;
    std::vector<uid_t> allow_uids;  // empty: whoever may open the socket
    Memory memory = Memory::kMemfd;
};

constexpr uint64_t kDefaultSize = uint64_t{256} << 20;
constexpr uint32_t kDefaultSlots = 16;

// User and group names to numbers; nothing for an unknown name.
struct Names {
    std::function<std::optional<uid_t>(const std::string&)> user;
    std::function<std::optional<gid_t>(const std::string&)> group;
};
// The host's user database.
Names system_names();

// `file` is only what messages call the text. An error is one line,
// "FILE:LINE: region NAME: KEY: what is wrong".
Result<std::vector<RegionConfig>> parse_config(const std::string& text, const std::string& file,
                                               const Names& names);

// Bytes from "268435456", "256M", "1G"; the message does not say what the number was for.
Result<uint64_t> parse_size(const std::string& text);
Result<mode_t> parse_mode(const std::string& text);
// The layout of `size` bytes and `slots` guests, or why there is none and what would do.
Result<ivpci_layout> make_layout(uint64_t size, uint32_t slots);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_CONFIG_H
