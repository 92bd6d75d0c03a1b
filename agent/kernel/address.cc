// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

namespace smc_steer {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

Address Address::from_bytes(std::span<const std::uint8_t> bytes) {
    Address address;
    if (bytes.size() == 4) {
        std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), address.in6.begin());
        std::copy(bytes.begin(), bytes.end(), address.in6.begin() + 12);
    } else if (bytes.size() == 16) {
        std::copy(bytes.begin(), bytes.end(), address.in6.begin());
    }
    return address;
}

Result<Address> Address::parse(const std::string& text) {
    std::array<std::uint8_t, 16> bytes{};
    if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) {
        return from_bytes(std::span(bytes).first(4));
    }
    if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
        return from_bytes(bytes);
    }
    return fail("'{}' is not an IP address", text);
}

bool Address::is_v4() const {
    return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), in6.begin());
}

bool Address::is_global() const {
    if (is_v4()) {
        if (in6[12] == 0 || in6[12] == 127 || in6[12] >= 224) {
            return false;
        }
        return !(in6[12] == 169 && in6[13] == 254);
    }
    if (in6[0] == 0xff) {
        return false;
    }
    if (in6[0] == 0xfe && (in6[1] & 0xc0) == 0x80) {
        return false;
    }
    // :: and ::1, and with them all of the long obsolete ::a.b.c.d
    return !std::all_of(in6.begin(), in6.begin() + 12, [](std::uint8_t b) { return b == 0; });
}

std::string to_string(const Address& address) {
    char text[INET6_ADDRSTRLEN] = "";
    if (address.is_v4()) {
        inet_ntop(AF_INET, address.in6.data() + 12, text, sizeof(text));
    } else {
        inet_ntop(AF_INET6, address.in6.data(), text, sizeof(text));
    }
    return text;
}

std::string to_string(const Address& address, std::uint16_t port) {
    if (address.is_v4()) {
        return fmt::format("{}:{}", to_string(address), port);
    }
    return fmt::format("[{}]:{}", to_string(address), port);
}

}  // namespace smc_steer
