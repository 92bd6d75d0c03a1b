// SPDX-License-Identifier: Apache-2.0
// The service manager's descriptor store (sd_notify(3), FDSTORE=1): what is kept there survives
// this process, and its successor gets it back by name.
#ifndef SMC_STEER_BROKER_FD_STORE_H
#define SMC_STEER_BROKER_FD_STORE_H

#include <map>
#include <set>
#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

class FdStore {
public:
    // A store that keeps nothing.
    FdStore() = default;

    // What the service manager passed (sd_listen_fds(3)), and a store if there is a service
    // manager to talk to. Once per process: it is the environment's.
    static Result<FdStore> inherit();

    // Out of what was passed; none: an invalid descriptor. It stays in the store.
    UniqueFd take(const std::string& name);

    // `name`: no colon, no control characters. One of that name must not be there.
    void keep(const std::string& name, int fd);
    // Nothing happens if it is not in the store.
    void forget(const std::string& name);

    // Forgets what nobody took: of clients that are gone, of regions that are no more.
    void forget_rest();

    [[nodiscard]] bool enabled() const { return enabled_; }

private:
    bool enabled_ = false;
    std::map<std::string, UniqueFd> inherited_;  // nobody took them yet
    std::set<std::string> kept_;                 // names in the store
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_FD_STORE_H
