// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/policy/ports.h"

namespace smc_steer {
namespace {

TEST(PolicyPorts, ReadsPortsAndRanges) {
    EXPECT_EQ(*parse_port_range("6379"), (PortRange{6379, 6379}));
    EXPECT_EQ(*parse_port_range("1"), (PortRange{1, 1}));
    EXPECT_EQ(*parse_port_range("65535"), (PortRange{65535, 65535}));
    EXPECT_EQ(*parse_port_range("8000-8100"), (PortRange{8000, 8100}));
    EXPECT_EQ(*parse_port_range("7-7"), (PortRange{7, 7}));
}

TEST(PolicyPorts, RefusesEverythingElse) {
    for (const char* text :
         {"", "-", "0", "65536", "70000", "99999999999999999999", "http", "80-70", "80-", "-80",
          "+80", " 80", "80 ", "0x50", "80-90-100", "80,90", "0-10", "10-65536", "8\n0"}) {
        auto range = parse_port_range(text);
        EXPECT_FALSE(range) << "'" << text << "' was read";
    }
}

TEST(PolicyPorts, ErrorsSayWhatToWrite) {
    EXPECT_EQ(parse_port_range("http").error().message,
              "'http' is not a port: write PORT or PORT-PORT, such as 6379 or 8000-8100");
    EXPECT_EQ(parse_port_range("70000").error().message,
              "port 70000 is out of range: ports are 1 to 65535");
    EXPECT_EQ(parse_port_range("80-70").error().message,
              "'80-70' is backwards: write the lower port first, 70-80");
}

TEST(PolicyPorts, TextReadsBackToTheSame) {
    for (PortRange range : {PortRange{1, 65535}, PortRange{22, 22}, PortRange{80, 81}}) {
        EXPECT_EQ(*parse_port_range(to_string(range)), range);
    }
}

}  // namespace
}  // namespace smc_steer
