// SPDX-License-Identifier: Apache-2.0
// std::thread throws where the machine has no room for one more: here that is an error like others.
#ifndef SMC_STEER_AGENT_BASE_THREAD_H
#define SMC_STEER_AGENT_BASE_THREAD_H

#include <system_error>
#include <thread>
#include <utility>

#include "agent/base/result.h"

namespace smc_steer {

template <typename F>
Result<std::thread> start_thread(F&& work) {
    try {
        return std::thread(std::forward<F>(work));
    } catch (const std::system_error& error) {
        return fail_errno(error.code().value(), "cannot start a thread");
    }
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_THREAD_H
