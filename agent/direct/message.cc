// SPDX-License-Identifier: Apache-2.0
#include "agent/direct/message.h"

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

bool near(std::uint32_t one, std::uint32_t other) { return one - other + 1 <= 2; }

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
    at.put_bytes(message.connection.addresses.local.in6);
    at.put_bytes(message.connection.addresses.peer.in6);
    at.put(message.connection.addresses.local_port);
    at.put(message.connection.addresses.peer_port);
    at.put(message.connection.first_sent);
    at.put(message.connection.first_received);
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
    auto& connection = message.connection;
    connection.addresses.local.in6 = at.get_bytes<16>();
    connection.addresses.peer.in6 = at.get_bytes<16>();
    connection.addresses.local_port = at.get<std::uint16_t>();
    connection.addresses.peer_port = at.get<std::uint16_t>();
    connection.first_sent = at.get<std::uint32_t>();
    connection.first_received = at.get<std::uint32_t>();
    return message;
}

bool same_connection(const ConnectionName& ours, const ConnectionName& theirs) {
    return near(ours.first_sent, theirs.first_received) &&
           near(ours.first_received, theirs.first_sent);
}

}  // namespace smc_steer
