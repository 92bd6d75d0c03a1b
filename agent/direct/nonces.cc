// SPDX-License-Identifier: Apache-2.0
#include "agent/direct/nonces.h"

#include <sys/random.h>

namespace smc_steer {
namespace {

// All bytes are looked at, whatever they are: how long it takes tells nothing.
bool same(const Nonce& one, const Nonce& other) {
    unsigned different = 0;
    for (std::size_t i = 0; i < one.size(); i++) {
        different |= one[i] ^ other[i];
    }
    return different == 0;
}

}  // namespace

Result<bool> Nonces::refresh(std::uint64_t now_ns) {
    if (since_ns_ && now_ns - since_ns_ < kLifeNs) {
        return false;
    }
    Nonce fresh;
    if (getrandom(fresh.data(), fresh.size(), 0) != static_cast<ssize_t>(fresh.size())) {
        return fail_errno("getrandom");
    }
    // What was named long ago is good for nothing.
    before_ = since_ns_ && now_ns - since_ns_ < 2 * kLifeNs ? current_ : fresh;
    current_ = fresh;
    since_ns_ = now_ns;
    return true;
}

bool Nonces::knows(const Nonce& nonce, std::uint64_t now_ns) const {
    if (!since_ns_ || now_ns - since_ns_ >= 2 * kLifeNs) {
        return false;
    }
    return same(nonce, current_) || (now_ns - since_ns_ < kLifeNs && same(nonce, before_));
}

}  // namespace smc_steer
