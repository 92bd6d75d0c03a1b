// SPDX-License-Identifier: Apache-2.0
// TCP ports as people write them: "6379", "8000-8100".
#ifndef SMC_STEER_AGENT_POLICY_PORTS_H
#define SMC_STEER_AGENT_POLICY_PORTS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace smc_steer {

// Inclusive on both ends, 1 <= first <= last <= 65535.
struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;

    bool operator==(const PortRange&) const = default;
    bool contains(std::uint16_t port) const { return first <= port && port <= last; }
};

// Reads PORT or PORT-PORT in decimal. The error says what is wrong with `text` and shows it.
Result<PortRange> parse_port_range(std::string_view text);

// As the kernel lists ports, "8080,9148-9150"; what is no port in it is left out.
std::vector<PortRange> parse_kernel_ports(std::string_view text);

// The shortest form parse_port_range() accepts.
std::string to_string(PortRange range);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_PORTS_H
