// SPDX-License-Identifier: Apache-2.0
// IP addresses as the contracts store them: 16 bytes, IPv4 as ::ffff:a.b.c.d.
#ifndef SMC_STEER_AGENT_KERNEL_ADDRESS_H
#define SMC_STEER_AGENT_KERNEL_ADDRESS_H

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

struct Address {
    std::array<std::uint8_t, 16> in6{};

    auto operator<=>(const Address&) const = default;  // NOLINT(modernize-use-nullptr): clang 14

    // `bytes` in network byte order: 4 of them are IPv4, 16 are IPv6; other lengths are
    // the caller's mistake and give the unspecified address.
    static Address from_bytes(std::span<const std::uint8_t> bytes);
    // "10.0.0.1", "fd00::1"
    static Result<Address> parse(const std::string& text);

    bool is_v4() const;
    // Can another machine reach it: not unspecified, loopback, link-local or multicast.
    bool is_global() const;
};

// IPv4 in dotted form.
std::string to_string(const Address& address);

// "10.0.0.1:80", "[fd00::1]:80"
std::string to_string(const Address& address, std::uint16_t port);

struct Endpoint {
    Address address;
    std::uint16_t port = 0;

    auto operator<=>(const Endpoint&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

inline std::string to_string(const Endpoint& e) { return to_string(e.address, e.port); }

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_ADDRESS_H
