// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/path_choice.h"

#include <unistd.h>

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
    if (looks_ < kLooks) {
        return false;
    }
    looks_ = 0;
    return true;
}

}  // namespace smc_steer
