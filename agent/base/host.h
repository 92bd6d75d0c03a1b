// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_AGENT_BASE_HOST_H
#define SMC_STEER_AGENT_BASE_HOST_H

#include <unistd.h>

#include <string>

namespace smc_steer {

inline std::string host_name() {
    char name[256] = "";
    gethostname(name, sizeof(name) - 1);
    return name;
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_HOST_H
