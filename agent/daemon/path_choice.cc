// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/path_choice.h"

#include <unistd.h>

#include <bit>

#include "agent/kernel/direct_device.h"

namespace smc_steer {

bool direct_is_loaded() { return access(DirectDevice::kPath, F_OK) == 0; }

Paths choose_paths(const Config& config, bool loaded) {
    Paths paths;
    paths.direct = config.path == Path::direct || (config.path != Path::off && loaded);
    paths.smc = config.path == Path::smc || (config.path == Path::automatic && !loaded);
    return paths;
}

bool PathChange::is_due(const Paths& has, const Paths& wants) {
    looks_ = wants == has ? 0 : wants == wants_ ? looks_ + 1 : 1;
    wants_ = wants;
    return looks_ == kLooks || (looks_ % kAgain == 0 && std::has_single_bit(looks_ / kAgain));
}

std::vector<std::string> start_one_of(const std::vector<Paths>& choices,
                                      const std::function<std::string(const Paths&)>& start) {
    std::vector<std::string> problems;
    for (const auto& paths : choices) {
        auto problem = start(paths);
        if (problem.empty()) {
            break;
        }
        problems.push_back(std::move(problem));
    }
    return problems;
}

}  // namespace smc_steer
