// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "agent/splice/wire.h"

namespace smc_steer {
namespace {

Endpoint endpoint(const std::string& address, std::uint16_t port) {
    return {*Address::parse(address), port};
}

const ProxyHeader kIpv4{endpoint("10.0.0.2", 40000), endpoint("10.0.0.1", 6379)};
const ProxyHeader kIpv6{endpoint("fd00::2", 40000), endpoint("fd00::1", 6379)};

TEST(SpliceWire, TheHeaderIsProxyVersion2) {
    auto bytes = encode_proxy(kIpv4);
    // HAProxy's proxy-protocol.txt, section 2.2, by hand.
    const std::vector<std::uint8_t> expected{
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,  // signature
        0x21, 0x11, 0x00, 0x11,                                                  // PROXY, TCPv4, 17
        10,   0,    0,    2,    10,   0,    0,    1,    0x9c, 0x40, 0x18, 0xeb,  //
        0xe5, 0x00, 0x02, 0x01, 0x02};
    EXPECT_EQ(bytes, expected);
}

TEST(SpliceWire, HeadersComeBackAsTheyWere) {
    for (const auto& header : {kIpv4, kIpv6, ProxyHeader{kIpv4.source, kIpv6.destination, 3, 9}}) {
        auto bytes = encode_proxy(header);
        auto length = proxy_length(Bytes(bytes).first(kProxyFixed));
        ASSERT_TRUE(length) << length.error().message;
        EXPECT_EQ(*length, bytes.size());
        auto back = decode_proxy(bytes);
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(*back, header);
    }
}

TEST(SpliceWire, OtherFieldsAreSkipped) {
    auto bytes = encode_proxy(kIpv4);
    const std::uint8_t other[]{0x04, 0x00, 0x01, 0xff};
    bytes.insert(bytes.begin() + 28, std::begin(other), std::end(other));
    bytes[15] = static_cast<std::uint8_t>(bytes[15] + sizeof(other));
    auto back = decode_proxy(bytes);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, kIpv4);
}

TEST(SpliceWire, WhatIsNoHeaderOfOursIsRefused) {
    auto good = encode_proxy(kIpv4);
    auto with = [&](std::size_t at, std::uint8_t value) {
        auto bytes = good;
        bytes[at] = value;
        return bytes;
    };
    for (auto at : {0, 11, 12, 13}) {
        EXPECT_FALSE(proxy_length(with(static_cast<std::size_t>(at), 0x77))) << at;
    }
    EXPECT_FALSE(proxy_length(with(14, 0xff)));  // too long
    EXPECT_FALSE(proxy_length(with(15, 0x04)));  // too short for its addresses
    EXPECT_FALSE(decode_proxy(with(28, 0xe6)));  // no versions
    EXPECT_FALSE(decode_proxy(with(30, 0x77)));  // a field beyond the end
    EXPECT_FALSE(proxy_length(Bytes(good).first(5)));
    EXPECT_FALSE(decode_proxy(Bytes(good).first(30)));
    std::string http = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    EXPECT_FALSE(proxy_length(Bytes(reinterpret_cast<const std::uint8_t*>(http.data()), 16)));
}

TEST(SpliceWire, TheHighestVersionInCommon) {
    auto with = [](int least, int most) {
        auto header = kIpv4;
        header.least = static_cast<std::uint8_t>(least);
        header.most = static_cast<std::uint8_t>(most);
        return agree(header);
    };
    EXPECT_EQ(with(1, 1), 1);
    EXPECT_EQ(with(1, 200), kWireMost);
    EXPECT_FALSE(with(kWireMost + 1, 200));
    EXPECT_FALSE(with(0, 0));
    EXPECT_FALSE(with(9, 1));
}

TEST(SpliceWire, RepliesAndFrames) {
    auto reply = encode_reply({1, Verdict::refused});
    EXPECT_EQ(decode_reply(reply), (Reply{1, Verdict::refused}));
    reply[3] = 99;
    EXPECT_FALSE(decode_reply(reply));
    EXPECT_FALSE(decode_reply(Bytes(reply).first(3)));

    std::uint8_t frame[kFrameHeader];
    for (std::size_t length : {std::size_t{1}, std::size_t{65536}, kFrameMost}) {
        encode_frame(FrameKind::data, length, frame);
        auto back = decode_frame(frame);
        ASSERT_TRUE(back);
        EXPECT_EQ(back->length, length);
        EXPECT_EQ(back->kind, FrameKind::data);
    }
    encode_frame(FrameKind::end, 0, frame);
    EXPECT_EQ(decode_frame(frame)->kind, FrameKind::end);
    frame[3] = 1;
    EXPECT_FALSE(decode_frame(frame)) << "an end with data";
    encode_frame(FrameKind::direct, 0, frame);
    EXPECT_EQ(decode_frame(frame)->kind, FrameKind::direct);
    frame[3] = 1;
    EXPECT_FALSE(decode_frame(frame)) << "data in the last frame";
    encode_frame(FrameKind::data, 0, frame);
    EXPECT_FALSE(decode_frame(frame)) << "data without any";
    frame[0] = 7;
    EXPECT_FALSE(decode_frame(frame));
}

}  // namespace
}  // namespace smc_steer
