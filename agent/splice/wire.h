// SPDX-License-Identifier: Apache-2.0
// What two agents say to each other on a connection that they relay. Pure.
//
//   client's agent                         server's agent
//   PROXY v2 header, versions in a TLV ->
//                                      <-  Reply: the version, "hello"
//                                          (connects to the server)
//                                      <-  Reply: "joined", or why not
//   frames                            <->  frames
//
// A frame is four bytes, big-endian (eight bits of kind, 24 of length), and as many bytes of data.
// Each direction ends with an END frame: a connection that ends without one was broken off. After
// both, the client's agent may begin again with a header.
//
// From version 2 on a direction may have a DIRECT frame, the last of its frames: what follows are
// the program's bytes as they are, up to the end of the stream, since the sender's kernel puts them
// there (smc_steer/join_abi.h). An urgent byte stands for a reset then. Such a connection serves no
// other program.
#ifndef SMC_STEER_AGENT_SPLICE_WIRE_H
#define SMC_STEER_AGENT_SPLICE_WIRE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/kernel/address.h"

namespace smc_steer {

using Bytes = std::span<const std::uint8_t>;

// Versions of what follows the header, that this agent can speak.
inline constexpr std::uint8_t kWireLeast = 1;
inline constexpr std::uint8_t kWireMost = 2;
inline constexpr std::uint8_t kWireDirect = 2;  // the first one with DIRECT frames

// PROXY protocol version 2 (HAProxy, doc/proxy-protocol.txt, section 2.2), command PROXY, TCP over
// IPv4 or IPv6. Other implementations skip our TLV.
struct ProxyHeader {
    Endpoint source;       // the client
    Endpoint destination;  // the server
    std::uint8_t least = kWireLeast;
    std::uint8_t most = kWireMost;

    bool operator==(const ProxyHeader&) const = default;
};

inline constexpr std::size_t kProxyFixed = 16;  // bytes, before the addresses
inline constexpr std::size_t kProxyMost = 256;  // more is refused

std::vector<std::uint8_t> encode_proxy(const ProxyHeader& header);

// How long the whole is, once its first kProxyFixed bytes are there; more than kProxyMost, or
// something else: an error.
Result<std::size_t> proxy_length(Bytes start);
// `whole`: proxy_length() bytes. A header without our TLV is an error.
Result<ProxyHeader> decode_proxy(Bytes whole);

// The highest version that both speak.
std::optional<std::uint8_t> agree(const ProxyHeader& theirs);

enum class Verdict : std::uint8_t {
    hello = 0,    // the header is good
    joined = 1,   // the server has accepted, frames follow
    refused = 2,  // as connect() was refused
    failed = 3,   // not reached, for another reason
    denied = 4,   // no rule of ours has it relayed
    version = 5,  // none in common
};
std::string_view to_string(Verdict verdict);

struct Reply {
    std::uint8_t version = kWireMost;
    Verdict verdict = Verdict::hello;

    bool operator==(const Reply&) const = default;
};
inline constexpr std::size_t kReplySize = 4;
std::array<std::uint8_t, kReplySize> encode_reply(const Reply& reply);
Result<Reply> decode_reply(Bytes bytes);

inline constexpr std::size_t kFrameHeader = 4;
inline constexpr std::size_t kFrameMost = (1U << 24) - 1;  // bytes of data

enum class FrameKind : std::uint8_t { data = 0, end = 1, direct = 2 };

void encode_frame(FrameKind kind, std::size_t length, std::uint8_t* out);

struct Frame {
    FrameKind kind = FrameKind::data;
    std::size_t length = 0;
};
// `bytes`: kFrameHeader of them.
Result<Frame> decode_frame(Bytes bytes);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_WIRE_H
