// SPDX-License-Identifier: Apache-2.0
// What two agents say to each other about connections that are to be moved. Pure.
//
// First each proves to the other that it is the member of the region that it says: it names a
// number that the other one has in its bulletin at that moment, which only a member's root can
// read. Who was called speaks first.
//
//   who asks                              who answers
//   PREPARE id, connection, proof    ->   finds its end, attaches to it, waits until that is clean
//                                    <-   READY id, proof, or NO id and why
//   OFFER id, size, token            ->   makes its ring, connects to this one
//                                    <-   TAKEN id, token, or NO id and why
//   (connects to that, moves)
//
// And whenever an end goes back to TCP for good: OVER id and why, by either.
//
// An address in somebody's bulletin proves nothing. What proves that an agent has the other end are
// the sequence numbers of the connection's first bytes, which nobody else knows. They are never
// said: each agent shows that it knows them by a keyed hash, before the other one makes anything
// for it.
//
// All numbers are little-endian.
#ifndef SMC_STEER_AGENT_DIRECT_MESSAGE_H
#define SMC_STEER_AGENT_DIRECT_MESSAGE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/result.h"
#include "agent/kernel/diag.h"

namespace smc_steer {

using Nonce = std::array<std::uint8_t, 16>;

// The first thing each end says.
struct Hello {
    std::uint32_t slot = 0;  // of who says it
    std::uint32_t generation = 0;
    Nonce nonce{};  // what the other one's bulletin shows

    bool operator==(const Hello&) const = default;
};
inline constexpr std::size_t kHelloSize = 32;  // bytes
inline constexpr std::uint32_t kOffloadVersion = 1;

std::array<std::uint8_t, kHelloSize> encode(const Hello& hello);
// Fails if it is something else, or of another version.
Result<Hello> decode_hello(std::span<const std::uint8_t, kHelloSize> bytes);

// A connection as one end tells it: its addresses (the other end may know others, by NAT), and the
// sequence numbers of the first bytes.
struct ConnectionName {
    SocketAddresses addresses;
    std::uint32_t first_sent = 0;
    std::uint32_t first_received = 0;

    bool operator==(const ConnectionName&) const = default;
};

using Salt = std::array<std::uint8_t, 16>;
using Proof = std::array<std::uint8_t, 16>;
enum class Prover : std::uint8_t { asks = 1, answers = 2 };

// HMAC-SHA256 (RFC 2104, FIPS 180-4) of the numbers with `salt`, cut to 128 bits: that one end of
// the connection knows them.
Proof prove(const ConnectionName& own, Prover prover, const Salt& salt);
// Is `proof`, by that end, of the connection that this end has as `own`. A SYN counts in one end's
// numbers and may not in the other's, so nine pairs are tried.
bool proves(const Proof& proof, Prover prover, const Salt& salt, const ConnectionName& own);

enum class MessageKind : std::uint8_t { prepare = 1, ready, offer, taken, no, over };

// Why not, or why no longer: what the other agent may know. The kernel's reasons are of one end
// only.
enum class WhyNot : std::uint8_t {
    none,
    unknown_connection,  // no such connection there
    denied,              // by that guest's rules
    not_now,             // its socket is not to be had (yet), or no memory is left
    crossing,            // that agent asks for the same connection
    idle,
    ended,  // the connection, or the agent
};
std::string_view to_string(WhyNot why);

struct Message {
    MessageKind kind = MessageKind::no;
    bool asked_by_sender = false;  // whose number `id` is
    WhyNot why = WhyNot::none;
    std::uint64_t id = 0;
    std::uint32_t size = 0;       // OFFER: bytes of a ring
    std::uint64_t token = 0;      // OFFER, TAKEN
    SocketAddresses addresses{};  // PREPARE: as its sender has them
    Salt salt{};                  // PREPARE
    Proof proof{};                // PREPARE, READY

    bool operator==(const Message&) const = default;
};
inline constexpr std::size_t kMessageSize = 96;  // bytes

std::array<std::uint8_t, kMessageSize> encode(const Message& message);
// Fails if no agent would say that.
Result<Message> decode_message(std::span<const std::uint8_t, kMessageSize> bytes);
}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DIRECT_MESSAGE_H
