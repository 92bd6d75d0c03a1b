// SPDX-License-Identifier: Apache-2.0
// Numbers that an agent has in its bulletin for a few seconds each: who names one can read the
// region's memory, so it is root in a guest that is a member. Pure but for the random numbers.
#ifndef SMC_STEER_AGENT_DIRECT_NONCES_H
#define SMC_STEER_AGENT_DIRECT_NONCES_H

#include <cstdint>

#include "agent/base/result.h"
#include "agent/direct/message.h"

namespace smc_steer {

class Nonces {
public:
    static constexpr std::uint64_t kLifeNs = 5'000'000'000;

    // The one to be named now. Value: is it another one than before, which has to be published.
    Result<bool> refresh(std::uint64_t now_ns);
    const Nonce& current() const { return current_; }
    // Was it, within its life, or the one before that, which somebody may just have read.
    bool knows(const Nonce& nonce, std::uint64_t now_ns) const;

private:
    Nonce current_{};
    Nonce before_{};
    std::uint64_t since_ns_ = 0;  // of the current one; 0: there is none
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DIRECT_NONCES_H
