// SPDX-License-Identifier: Apache-2.0
// Sets of peers as people write them: "10.0.0.0/8", "fd00::/8", "10.1.2.3".
#ifndef SMC_STEER_AGENT_POLICY_CIDR_H
#define SMC_STEER_AGENT_POLICY_CIDR_H

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace smc_steer {

// 16 bytes in network byte order, IPv4 as ::ffff:a.b.c.d: one space for both families.
using In6 = std::array<std::uint8_t, 16>;

// Ordered so that a prefix comes directly before those inside it.
struct Cidr {
    In6 in6{};
    int length = 0;  // 0 to 128; an IPv4 prefix /n is 96 + n; bits beyond it are zero

    auto operator<=>(const Cidr&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
    bool contains(const In6& address) const;
    bool contains(const Cidr& other) const { return length <= other.length && contains(other.in6); }
};

// "10.0.0.1" or "fd00::1"; "::ffff:10.0.0.1" is the first of them.
Result<In6> parse_in6(std::string_view text);

// ADDRESS or ADDRESS/LENGTH. Bits beyond the prefix are refused, with what was probably meant.
Result<Cidr> parse_cidr(std::string_view text);

// The form parse_cidr() reads back; a single address has no length.
std::string to_string(const Cidr& cidr);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_CIDR_H
