// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/cidr.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace smc_steer {
namespace {

constexpr In6 kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kMappedLength = 96;

bool is_mapped(const In6& in6) {
    return std::equal(in6.begin(), in6.begin() + 12, kMapped.begin());
}

void clear_beyond(In6& in6, int length) {
    for (int i = 0; i < 16; i++) {
        int kept = std::clamp(length - 8 * i, 0, 8);
        in6[i] &= static_cast<std::uint8_t>(0xff00 >> kept);
    }
}

}  // namespace

bool Cidr::contains(const In6& address) const {
    In6 network = address;
    clear_beyond(network, length);
    return network == in6;
}

Result<In6> parse_in6(std::string_view text) {
    std::string name(text);
    In6 in6 = kMapped;
    if (text.size() == std::strlen(name.c_str()) &&
        (inet_pton(AF_INET, name.c_str(), in6.data() + 12) == 1 ||
         inet_pton(AF_INET6, name.c_str(), in6.data()) == 1)) {
        return in6;
    }
    return fail("'{}' is not an address: write one such as 10.0.0.1 or fd00::1", text);
}

Result<Cidr> parse_cidr(std::string_view text) {
    auto slash = text.find('/');
    auto in6 = parse_in6(text.substr(0, slash));
    if (!in6) {
        return fail("'{}' is not a network: write ADDRESS or ADDRESS/LENGTH, such as 10.0.0.0/8",
                    text);
    }
    Cidr cidr{*in6, 128};
    if (slash == std::string_view::npos) {
        return cidr;
    }

    bool v4 = text.substr(0, slash).find(':') == std::string_view::npos;
    int most = v4 ? 32 : 128, length = 0;
    auto digits = text.substr(slash + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (digits.empty() || error == std::errc::invalid_argument ||
        end != digits.data() + digits.size() || digits.front() == '-') {
        return fail("'{}': '{}' is not the length of a prefix", text, digits);
    }
    if (error != std::errc() || length > most) {
        return fail("'{}': the prefix of such an address has 0 to {} bits", text, most);
    }
    cidr.length = v4 ? length + kMappedLength : length;
    clear_beyond(cidr.in6, cidr.length);
    if (cidr.in6 != *in6) {
        return fail("'{}' has bits beyond its prefix: write {}", text, to_string(cidr));
    }
    return cidr;
}

std::string to_string(const Cidr& cidr) {
    char text[INET6_ADDRSTRLEN] = "";
    bool v4 = is_mapped(cidr.in6) && cidr.length >= kMappedLength;
    if (v4) {
        inet_ntop(AF_INET, cidr.in6.data() + 12, text, sizeof(text));
    } else {
        inet_ntop(AF_INET6, cidr.in6.data(), text, sizeof(text));
    }
    return cidr.length == 128
               ? text
               : fmt::format("{}/{}", text, v4 ? cidr.length - kMappedLength : cidr.length);
}

}  // namespace smc_steer
