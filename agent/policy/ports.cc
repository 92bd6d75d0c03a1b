// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/ports.h"

#include <fmt/format.h>

#include <charconv>

namespace smc_steer {
namespace {

// One decimal number, 1..65535; signs, blanks and hexadecimal are refused.
Result<std::uint16_t> parse_port(std::string_view text, std::string_view whole) {
    unsigned value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error == std::errc::invalid_argument || end != text.data() + text.size()) {
        return fail("'{}' is not a port: write PORT or PORT-PORT, such as 6379 or 8000-8100",
                    whole);
    }
    if (error == std::errc::result_out_of_range || value < 1 || value > 65535) {
        return fail("port {} is out of range: ports are 1 to 65535", text);
    }
    return static_cast<std::uint16_t>(value);
}

}  // namespace

Result<PortRange> parse_port_range(std::string_view text) {
    auto dash = text.find('-');
    auto first = parse_port(text.substr(0, dash), text);
    if (!first) {
        return tl::unexpected(first.error());
    }
    if (dash == std::string_view::npos) {
        return PortRange{*first, *first};
    }

    auto last = parse_port(text.substr(dash + 1), text);
    if (!last) {
        return tl::unexpected(last.error());
    }
    if (*last < *first) {
        return fail("'{}' is backwards: write the lower port first, {}-{}", text, *last, *first);
    }
    return PortRange{*first, *last};
}

std::vector<PortRange> parse_kernel_ports(std::string_view text) {
    std::vector<PortRange> ports;
    while (!text.empty()) {
        auto end = text.find_first_of(",\n");
        if (auto range = parse_port_range(text.substr(0, end))) {
            ports.push_back(*range);
        }
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return ports;
}

std::string to_string(PortRange range) {
    if (range.first == range.last) {
        return fmt::format("{}", range.first);
    }
    return fmt::format("{}-{}", range.first, range.last);
}

}  // namespace smc_steer
