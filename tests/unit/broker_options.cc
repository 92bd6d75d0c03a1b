// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "broker/options.h"

namespace smc_steer::broker {
namespace {

Options good(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", "s"});
    auto parsed = parse_options(std::move(arguments));
    EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
    return parsed ? std::get<Options>(*parsed) : Options{};
}

std::string bad(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", "s"});
    auto parsed = parse_options(std::move(arguments));
    EXPECT_FALSE(parsed);
    std::string message = parsed ? "" : parsed.error().message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
}

TEST(BrokerOptions, Defaults) {
    Options options = good({});
    EXPECT_EQ(options.region.socket, "s");
    EXPECT_EQ(options.region.layout.size, 256U << 20);
    EXPECT_EQ(options.region.layout.slots, 16U);
    EXPECT_EQ(options.region.vectors, 4U);
    EXPECT_EQ(options.region.mode, 0600U);
    EXPECT_EQ(options.pid_file, "");
}

TEST(BrokerOptions, Sizes) {
    EXPECT_EQ(good({"--size", "67108864"}).region.layout.size, 64U << 20);
    EXPECT_EQ(good({"--size", "65536K"}).region.layout.size, 64U << 20);
    EXPECT_EQ(good({"--size", "64M"}).region.layout.size, 64U << 20);
    EXPECT_EQ(good({"--size", "64m"}).region.layout.size, 64U << 20);
    EXPECT_EQ(good({"--size", "2G"}).region.layout.size, uint64_t{2} << 30);
}

TEST(BrokerOptions, BadSizesSayWhatWouldDo) {
    EXPECT_NE(bad({"--size", "3M"}).find("power of two"), std::string::npos);
    EXPECT_NE(bad({"--size", "0"}).find("power of two"), std::string::npos);
    EXPECT_EQ(bad({"--size", "32M"}), "--size 32M: too small for 16 slots, at least 64M is needed");
    EXPECT_EQ(bad({"--size", "128G"}), "--size 128G: at most 64G");
    for (const char* text : {"-5", "12Q", "", "1.5M", "99999999999G", "M", "0x100000"}) {
        EXPECT_NE(bad({"--size", text}).find("--size"), std::string::npos) << text;
    }
}

// The minimum that the message names must be one that works, and its half must not.
TEST(BrokerOptions, MinimumIsTheMinimum) {
    for (uint32_t slots = 1; slots <= IVPCI_SLOTS_MAX; ++slots) {
        auto tiny = make_layout(IVPCI_CHUNK_SIZE, slots);
        ASSERT_FALSE(tiny) << slots;
        const std::string& message = tiny.error().message;
        uint64_t mega = std::stoull(message.substr(message.find("at least ") + 9));
        EXPECT_TRUE(make_layout(mega << 20, slots)) << message;
        EXPECT_FALSE(make_layout(mega << 19, slots)) << message;
    }
}

TEST(BrokerOptions, Ranges) {
    EXPECT_EQ(good({"--slots", "63", "--size", "1G"}).region.layout.slots, 63U);
    EXPECT_EQ(good({"--vectors", "16"}).region.vectors, 16U);
    for (const char* text : {"0", "64", "-1", "x", "4294967297"}) {
        EXPECT_NE(bad({"--slots", text}).find("--slots"), std::string::npos) << text;
    }
    for (const char* text : {"0", "17", "-1", "x"}) {
        EXPECT_NE(bad({"--vectors", text}).find("--vectors"), std::string::npos) << text;
    }
    EXPECT_EQ(good({"--mode", "0660"}).region.mode, 0660U);
    for (const char* text : {"9", "1777", "rw", "", "-1"}) {
        EXPECT_NE(bad({"--mode", text}).find("--mode"), std::string::npos) << text;
    }
}

TEST(BrokerOptions, UnknownAndMissing) {
    EXPECT_NE(bad({"--bogus"}).find("--bogus"), std::string::npos);
    EXPECT_NE(bad({"extra"}).find("extra"), std::string::npos);
    EXPECT_NE(bad({"--log-level", "loud"}).find("--log-level loud"), std::string::npos);
    auto none = parse_options({});
    ASSERT_FALSE(none);
    EXPECT_NE(none.error().message.find("--socket PATH or --config FILE is missing"),
              std::string::npos);
}

TEST(BrokerOptions, HelpAndVersionNeedNothingElse) {
    auto help = parse_options({"--help"});
    ASSERT_TRUE(help);
    EXPECT_NE(std::get<Information>(*help).text.find("Examples:"), std::string::npos);
    auto version = parse_options({"--version"});
    ASSERT_TRUE(version);
    EXPECT_EQ(std::get<Information>(*version).text.rfind("ivpci-broker ", 0), 0U);
}

TEST(BrokerOptions, AConfigFileExcludesTheFlagsOfOneRegion) {
    auto alone = parse_options({"--config", "f"});
    ASSERT_TRUE(alone);
    EXPECT_EQ(std::get<Options>(*alone).config, "f");
    for (std::vector<std::string> flags :
         std::vector<std::vector<std::string>>{{"--socket", "s"},
                                               {"--size", "64M"},
                                               {"--slots", "4"},
                                               {"--vectors", "2"},
                                               {"--mode", "0600"}}) {
        flags.insert(flags.end(), {"--config", "f"});
        auto both = parse_options(flags);
        ASSERT_FALSE(both) << flags[0];
        EXPECT_NE(both.error().message.find("--config"), std::string::npos);
    }
}

TEST(BrokerOptions, ControlIsInTheRuntimeDirectory) {
    EXPECT_EQ(good({}).control, "") << "only where systemd made a place for it";
    auto served = parse_options({"--socket", "s"}, "/run/x");
    ASSERT_TRUE(served);
    EXPECT_EQ(std::get<Options>(*served).control, "/run/x/control");
    auto asked = parse_options({"status", "--json"});
    ASSERT_TRUE(asked);
    EXPECT_EQ(std::get<StatusCommand>(*asked).control, "/run/ivpci/control");
    EXPECT_TRUE(std::get<StatusCommand>(*asked).json);
    EXPECT_FALSE(parse_options({"status", "--bogus"}));
}

}  // namespace
}  // namespace smc_steer::broker
