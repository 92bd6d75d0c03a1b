// SPDX-License-Identifier: Apache-2.0
// Things that are tried again and again, of which some fail: for good, or because the machine is
// short of something, which passes.
#ifndef SMC_STEER_AGENT_BASE_ATTEMPTS_H
#define SMC_STEER_AGENT_BASE_ATTEMPTS_H

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "agent/base/result.h"

namespace smc_steer {

// Of Error.code: threads, descriptors or memory may be there a moment later.
[[nodiscard]] inline bool is_shortage(int code) {
    return code == EAGAIN || code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS;
}

template <typename Key>
class Attempts {
public:
    // It has not failed for good.
    [[nodiscard]] bool worth_it(const Key& key) const {
        auto failure = failures_.find(key);
        return failure == failures_.end() || is_shortage(failure->second);
    }
    // True: to be logged. The same shortage is so once.
    bool failed(const Key& key, const Error& error) {
        auto [failure, first] = failures_.try_emplace(key, error.code);
        return std::exchange(failure->second, error.code) != error.code || first;
    }
    // Some of them failed of a shortage.
    [[nodiscard]] bool any_short() const {
        return std::any_of(failures_.begin(), failures_.end(),
                           [](const auto& failure) { return is_shortage(failure.second); });
    }
    void succeeded(const Key& key) { failures_.erase(key); }
    template <typename Gone>
    void forget_if(Gone&& gone) {
        std::erase_if(failures_, [&](const auto& failure) { return gone(failure.first); });
    }

private:
    std::map<Key, int> failures_;  // Error.code
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_ATTEMPTS_H
