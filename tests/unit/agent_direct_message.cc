// SPDX-License-Identifier: Apache-2.0
// What agents say to each other about connections: encoded, decoded, and refused.
#include <gtest/gtest.h>

#include "agent/direct/heat.h"
#include "agent/direct/message.h"
#include "agent/direct/nonces.h"

namespace smc_steer {
namespace {

Message a_prepare() {
    Message message;
    message.kind = MessageKind::prepare;
    message.asked_by_sender = true;
    message.id = 0x1122334455667788;
    message.size = 1 << 20;
    message.token = 0xfedcba9876543210;
    message.addresses = {Address::parse("10.0.0.1").value(), Address::parse("fd00::2").value(),
                         40000, 6379};
    message.salt[3] = 7;
    message.proof[15] = 9;
    return message;
}

TEST(DirectMessage, IsWhatItWas) {
    auto bytes = encode(a_prepare());
    auto back = decode_message(bytes);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, a_prepare());
    // little-endian, after four bytes and the size
    EXPECT_EQ(bytes[8], 0x88);
    EXPECT_EQ(bytes[15], 0x11);
}

TEST(DirectMessage, HelloIsWhatItWas) {
    Hello hello{3, 17, {}};
    hello.nonce[0] = 1;
    hello.nonce[15] = 0xff;
    auto back = decode_hello(encode(hello));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, hello);
}

TEST(DirectMessage, RefusesWhatNoAgentSays) {
    for (auto [at, value] : {std::pair{0, 0}, {0, 7}, {1, 2}, {2, 7}}) {
        auto bytes = encode(a_prepare());
        bytes[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
        EXPECT_FALSE(decode_message(bytes)) << at << ": " << value;
    }
    auto bytes = encode(Hello{});
    bytes[0] ^= 1;
    EXPECT_FALSE(decode_hello(bytes));
    bytes = encode(Hello{});
    bytes[4]++;
    auto other_version = decode_hello(bytes);
    ASSERT_FALSE(other_version);
    EXPECT_NE(other_version.error().message.find("version 2"), std::string::npos);
}

// A SYN counts one, and one end may count it where the other does not.
TEST(DirectProof, KnowsTheConnection) {
    ConnectionName asker{{}, 100, 0xffffffff};
    for (std::uint32_t off : {0xffffffffU, 0U, 1U}) {
        ConnectionName answerer{{}, 0xffffffff + off, 100 - off};
        Salt salt{1, 2, 3};
        EXPECT_TRUE(proves(prove(asker, Prover::asks, salt), Prover::asks, salt, answerer));
        EXPECT_TRUE(proves(prove(answerer, Prover::answers, salt), Prover::answers, salt, asker));
    }
}

TEST(DirectProof, IsOfOneConnectionOneEndAndOneQuestion) {
    ConnectionName asker{{}, 100, 0xffffffff};
    ConnectionName answerer{{}, 0xffffffff, 100};
    Salt salt{1, 2, 3};
    auto asked = prove(asker, Prover::asks, salt);
    EXPECT_FALSE(proves(asked, Prover::answers, salt, asker)) << "what was asked is no answer";
    EXPECT_FALSE(proves(asked, Prover::asks, Salt{}, answerer));
    EXPECT_FALSE(proves(asked, Prover::asks, salt, {{}, 0xffffffff, 102}));
    EXPECT_FALSE(proves(asked, Prover::asks, salt, {{}, 0xfffffffd, 100}));
    EXPECT_FALSE(proves(asked, Prover::asks, salt, {{}, 100, 0xffffffff})) << "the other way round";
    EXPECT_FALSE(proves(Proof{}, Prover::answers, salt, asker));
}

// As another implementation (Python's hmac) has it.
TEST(DirectProof, IsTheHmacThatIsNamed) {
    // HMAC-SHA256(key = 00 .. 0f, 01 | 01020304 | 05060708 little-endian)
    Salt salt;
    for (std::size_t i = 0; i < salt.size(); i++) {
        salt[i] = static_cast<std::uint8_t>(i);
    }
    auto proof = prove({{}, 0x01020304, 0x05060708}, Prover::asks, salt);
    EXPECT_EQ(proof, (Proof{0xd2, 0x45, 0x21, 0xc1, 0x16, 0xe4, 0x2f, 0xf5, 0xa4, 0x58, 0x06, 0x40,
                            0xbd, 0x55, 0x47, 0xaf}));
}

TEST(DirectNonces, LiveForAWhile) {
    Nonces nonces;
    std::uint64_t now = 1'000'000'000;
    EXPECT_FALSE(nonces.knows(Nonce{}, now)) << "before there is one";
    EXPECT_TRUE(nonces.refresh(now).value());
    auto first = nonces.current();
    EXPECT_FALSE(nonces.refresh(now + Nonces::kLifeNs - 1).value());
    EXPECT_TRUE(nonces.knows(first, now + Nonces::kLifeNs - 1));
    now += Nonces::kLifeNs;
    EXPECT_TRUE(nonces.refresh(now).value());
    EXPECT_NE(nonces.current(), first);
    EXPECT_TRUE(nonces.knows(first, now)) << "somebody may just have read it";
    EXPECT_FALSE(nonces.knows(first, now + Nonces::kLifeNs));
    EXPECT_FALSE(nonces.knows(nonces.current(), now + 2 * Nonces::kLifeNs));
    EXPECT_FALSE(nonces.knows(Nonce{}, now));
}

TEST(DirectHeat, BytesOrMessages) {
    OffloadLimits limits;
    EXPECT_FALSE(is_hot(limits, {1000, 10}, {1000 + 65535, 41}));
    EXPECT_TRUE(is_hot(limits, {1000, 10}, {1000 + 65536, 11}));
    EXPECT_TRUE(is_hot(limits, {1000, 10}, {1001, 42}));
}

TEST(DirectHeat, FailuresMakeThePauseLonger) {
    EXPECT_EQ(pause_ns(0), 1'000'000'000U);
    EXPECT_EQ(pause_ns(3), 8'000'000'000U);
    EXPECT_EQ(pause_ns(6), 60'000'000'000U);
    EXPECT_EQ(pause_ns(1000), 60'000'000'000U);
}

TEST(DirectHeat, TwoThatAreAlikeKeepWhatTheyHave) {
    EXPECT_FALSE(gives_way(100, 100));
    EXPECT_FALSE(gives_way(100, 400));
    EXPECT_TRUE(gives_way(100, 404));
    EXPECT_FALSE(gives_way(0, 3));
}

}  // namespace
}  // namespace smc_steer
