// SPDX-License-Identifier: Apache-2.0
#include "agent/direct/message.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

namespace smc_steer {
namespace {

constexpr std::uint32_t kMagic = 0x4f444d53;  // "SMDO"

// Reads or writes one field after the other.
class Cursor {
public:
    explicit Cursor(std::uint8_t* at) : at_(at) {}

    template <typename T>
    void put(T value) {
        for (std::size_t i = 0; i < sizeof(T); i++) {
            *at_++ = static_cast<std::uint8_t>(value >> (8 * i));
        }
    }
    void put_bytes(std::span<const std::uint8_t> bytes) {
        at_ = std::copy(bytes.begin(), bytes.end(), at_);
    }

private:
    std::uint8_t* at_;
};

class Reader {
public:
    explicit Reader(const std::uint8_t* at) : at_(at) {}

    template <typename T>
    T get() {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < sizeof(T); i++) {
            value |= std::uint64_t{*at_++} << (8 * i);
        }
        return static_cast<T>(value);
    }
    template <std::size_t N>
    std::array<std::uint8_t, N> get_bytes() {
        std::array<std::uint8_t, N> bytes;
        std::copy_n(at_, N, bytes.begin());
        at_ += N;
        return bytes;
    }

private:
    const std::uint8_t* at_;
};

// `from_asker`: the number of the first byte from who asks to who answers; `to_asker`: the other
// way.
Proof hash(Prover prover, const Salt& salt, std::uint32_t from_asker, std::uint32_t to_asker) {
    std::array<std::uint8_t, 9> text;
    Cursor at(text.data());
    at.put(static_cast<std::uint8_t>(prover));
    at.put(from_asker);
    at.put(to_asker);
    std::array<std::uint8_t, EVP_MAX_MD_SIZE> whole{};
    unsigned length = 0;
    HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()), text.data(), text.size(),
         whole.data(), &length);
    Proof proof;
    std::copy_n(whole.begin(), proof.size(), proof.begin());
    return proof;
}

}  // namespace

std::array<std::uint8_t, kHelloSize> encode(const Hello& hello) {
    std::array<std::uint8_t, kHelloSize> bytes{};
    Cursor at(bytes.data());
    at.put(kMagic);
    at.put(kOffloadVersion);
    at.put(hello.slot);
    at.put(hello.generation);
    at.put_bytes(hello.nonce);
    return bytes;
}

Result<Hello> decode_hello(std::span<const std::uint8_t, kHelloSize> bytes) {
    Reader at(bytes.data());
    if (at.get<std::uint32_t>() != kMagic) {
        return fail("no smc-agent");
    }
    auto version = at.get<std::uint32_t>();
    if (version != kOffloadVersion) {
        return fail("it speaks version {}, this agent {}", version, kOffloadVersion);
    }
    Hello hello;
    hello.slot = at.get<std::uint32_t>();
    hello.generation = at.get<std::uint32_t>();
    hello.nonce = at.get_bytes<16>();
    return hello;
}

std::string_view to_string(WhyNot why) {
    switch (why) {
        case WhyNot::unknown_connection:
            return "the other guest has no such connection";
        case WhyNot::denied:
            return "the other guest's rules";
        case WhyNot::not_now:
            return "the other end's socket or memory is not to be had now";
        case WhyNot::crossing:
            return "the other agent asks for it";
        case WhyNot::idle:
            return "idle";
        case WhyNot::ended:
            return "ended";
        case WhyNot::none:
            break;
    }
    return "";
}

std::array<std::uint8_t, kMessageSize> encode(const Message& message) {
    std::array<std::uint8_t, kMessageSize> bytes{};
    Cursor at(bytes.data());
    at.put(static_cast<std::uint8_t>(message.kind));
    at.put(static_cast<std::uint8_t>(message.asked_by_sender));
    at.put(static_cast<std::uint8_t>(message.why));
    at.put(std::uint8_t{0});
    at.put(message.size);
    at.put(message.id);
    at.put(message.token);
    at.put_bytes(message.addresses.local.in6);
    at.put_bytes(message.addresses.peer.in6);
    at.put(message.addresses.local_port);
    at.put(message.addresses.peer_port);
    at.put_bytes(message.salt);
    at.put_bytes(message.proof);
    return bytes;
}

Result<Message> decode_message(std::span<const std::uint8_t, kMessageSize> bytes) {
    Reader at(bytes.data());
    auto kind = at.get<std::uint8_t>();
    auto asked = at.get<std::uint8_t>();
    auto why = at.get<std::uint8_t>();
    at.get<std::uint8_t>();
    if (kind < static_cast<std::uint8_t>(MessageKind::prepare) ||
        kind > static_cast<std::uint8_t>(MessageKind::over) || asked > 1 ||
        why > static_cast<std::uint8_t>(WhyNot::ended)) {
        return fail("a message that no agent sends (kind {}, reason {})", kind, why);
    }
    Message message;
    message.kind = static_cast<MessageKind>(kind);
    message.asked_by_sender = asked != 0;
    message.why = static_cast<WhyNot>(why);
    message.size = at.get<std::uint32_t>();
    message.id = at.get<std::uint64_t>();
    message.token = at.get<std::uint64_t>();
    message.addresses.local.in6 = at.get_bytes<16>();
    message.addresses.peer.in6 = at.get_bytes<16>();
    message.addresses.local_port = at.get<std::uint16_t>();
    message.addresses.peer_port = at.get<std::uint16_t>();
    message.salt = at.get_bytes<16>();
    message.proof = at.get_bytes<16>();
    return message;
}

Proof prove(const ConnectionName& own, Prover prover, const Salt& salt) {
    return prover == Prover::asks ? hash(prover, salt, own.first_sent, own.first_received)
                                  : hash(prover, salt, own.first_received, own.first_sent);
}

bool proves(const Proof& proof, Prover prover, const Salt& salt, const ConnectionName& own) {
    bool asked = prover == Prover::asks;  // and this end answers
    auto from = asked ? own.first_received : own.first_sent;
    auto to = asked ? own.first_sent : own.first_received;
    for (std::uint32_t off_from : {0U, 1U, ~0U}) {
        for (std::uint32_t off_to : {0U, 1U, ~0U}) {
            auto wanted = hash(prover, salt, from + off_from, to + off_to);
            if (CRYPTO_memcmp(wanted.data(), proof.data(), proof.size()) == 0) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace smc_steer
