// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "broker/config.h"

namespace smc_steer::broker {
namespace {

Names names() {
    auto lookup = [](const std::string& name) -> std::optional<uint32_t> {
        return name == "kvm" ? std::optional<uint32_t>(107) : std::nullopt;
    };
    return Names{lookup, lookup};
}

std::vector<RegionConfig> good(const std::string& text) {
    auto parsed = parse_config(text, "b.yaml", names());
    EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
    return parsed.value_or(std::vector<RegionConfig>{});
}

std::string bad(const std::string& text) {
    auto parsed = parse_config(text, "b.yaml", names());
    EXPECT_FALSE(parsed) << text;
    std::string message = parsed ? "" : parsed.error().message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
}

TEST(BrokerConfig, EveryKey) {
    auto regions = good(R"(regions:
  tenant-a:
    socket: /run/ivpci/a.sock
    size: 1G
    slots: 32
    vectors: 8
    owner: kvm
    group: 64055
    mode: 0660
    allow_uids: [107, 64055]
    memory: hugetlb
  tenant_b: {socket: /run/ivpci/b.sock}
)");
    ASSERT_EQ(regions.size(), 2U);
    const RegionConfig& a = regions[0];
    EXPECT_EQ(a.name, "tenant-a");
    EXPECT_EQ(a.socket, "/run/ivpci/a.sock");
    EXPECT_EQ(a.layout.size, uint64_t{1} << 30);
    EXPECT_EQ(a.layout.slots, 32U);
    EXPECT_EQ(a.vectors, 8U);
    EXPECT_EQ(a.owner, 107U);
    EXPECT_EQ(a.group, 64055U);
    EXPECT_EQ(a.mode, 0660U);
    EXPECT_EQ(a.allow_uids, (std::vector<uid_t>{107, 64055}));
    EXPECT_EQ(a.memory, Memory::kHugetlb);
    const RegionConfig& b = regions[1];
    EXPECT_EQ(b.name, "tenant_b");
    EXPECT_EQ(b.layout.size, kDefaultSize);
    EXPECT_EQ(b.layout.slots, kDefaultSlots);
    EXPECT_EQ(b.vectors, 4U);
    EXPECT_FALSE(b.owner);
    EXPECT_EQ(b.mode, 0600U);
    EXPECT_TRUE(b.allow_uids.empty());
}

TEST(BrokerConfig, AnErrorNamesFileLineRegionAndKey) {
    EXPECT_EQ(
        bad("regions:\n  tenant-a:\n    socket: /s\n    size: 3M\n"),
        "b.yaml:4: region tenant-a: size: 3M: a PCI BAR must be a power of two, as 256M or 1G");
}

TEST(BrokerConfig, WhatIsWrong) {
    auto one = [](const std::string& line) {
        return "regions:\n  a:\n    socket: /s\n    " + line + "\n";
    };
    for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
             {"", "b.yaml:1: regions: is missing"},
             {"- a\n", "b.yaml:1: regions: is missing"},
             {"regions: {}\n", "no region is there"},
             {"regions: 5\n", "no region is there"},
             {"region: {}\n", "b.yaml:1: unknown key 'region'"},
             {"regions: {a: {socket: /s}}\nx: 1\n", "b.yaml:2: unknown key 'x'"},
             {"regions: {a: {socket: /s}}\nregions: {b: {socket: /t}}\n",
              "b.yaml:2: regions: is there twice"},
             {"regions:\n  a:\n", "b.yaml:2: region a: give it keys"},
             {"regions:\n  A:\n    socket: /s\n", "b.yaml:2: region A: a name has"},
             {"regions:\n  a/b: {socket: /s}\n", "a name has"},
             {"regions:\n  a: {socket: /s}\n  a: {socket: /t}\n",
              "b.yaml:3: region a: is there twice"},
             {"regions:\n  a: {socket: /s}\n  b: {socket: /s}\n",
              "b.yaml:3: region b: socket: /s is region a's"},
             {"regions:\n  a: {slots: 4}\n", "b.yaml:2: region a: socket: is missing"},
             {one("slot: 4"), "b.yaml:4: region a: slot: unknown key"},
             {one("slots: 4\n    slots: 4"), "b.yaml:5: region a: slots: is there twice"},
             {one("slots: 0"), "b.yaml:4: region a: slots: 0: give a number from 1 to 63"},
             {one("slots: 64"), "slots: 64"},
             {one("slots: -1"), "slots: -1"},
             {one("slots: [4]"), "slots: a value is missing"},
             {one("slots:"), "b.yaml:4: region a: slots: a value is missing"},
             {one("slots: 63\n    size: 128M"),
              "b.yaml:5: region a: size: 128M: too small for 63 slots, at least 256M is needed"},
             {one("vectors: 17"), "vectors: 17: give a number from 1 to 16"},
             {one("mode: rw"), "mode: rw: give permissions in octal"},
             {one("mode: 01777"), "mode: 01777"},
             {one("owner: nobody-here"), "owner: nobody-here: there is none"},
             {one("group: nobody-here"), "group: nobody-here: there is none"},
             {one("allow_uids: []"), "allow_uids: give a list"},
             {one("allow_uids: 107"), "allow_uids: give a list"},
             {one("allow_uids: [root]"), "allow_uids: root: not a numeric user id"},
             {one("memory: disk"), "memory: disk: there are memfd and hugetlb"},
             {"regions:\n  a: {socket: relative}\n", "socket: relative: give an absolute path"},
             {"regions:\n  a: {socket: /" + std::string(107, 'x') + "}\n", "at most 107 bytes"},
             {"regions:\n  a: {socket: /s\n", "b.yaml:"},
             {std::string(2 << 20, ' '), "larger than 1 MiB"},
             {std::string(100000, '['), "b.yaml:"},
         }) {
        std::string said = bad(text);
        EXPECT_NE(said.find(message), std::string::npos) << text.substr(0, 200) << "\n" << said;
    }
}

}  // namespace
}  // namespace smc_steer::broker
