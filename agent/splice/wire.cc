// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/wire.h"

#include <algorithm>
#include <iterator>

namespace smc_steer {
namespace {

constexpr std::array<std::uint8_t, 12> kSignature{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                  0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr std::uint8_t kVersionCommand = 0x21;  // version 2, PROXY
constexpr std::uint8_t kTcp4 = 0x11;
constexpr std::uint8_t kTcp6 = 0x21;
constexpr std::uint8_t kTlvVersions = 0xe5;  // of those that are free for applications
constexpr std::size_t kTlvHeader = 3;
constexpr std::array<std::uint8_t, 2> kReplyMark{'S', 'T'};

void put16(std::vector<std::uint8_t>& out, std::size_t value) {
    out.push_back(static_cast<std::uint8_t>(value >> 8));
    out.push_back(static_cast<std::uint8_t>(value));
}

std::size_t get16(Bytes bytes) { return static_cast<std::size_t>(bytes[0]) << 8 | bytes[1]; }

std::size_t address_size(std::uint8_t family) { return family == kTcp4 ? 4 : 16; }

}  // namespace

std::vector<std::uint8_t> encode_proxy(const ProxyHeader& header) {
    bool v4 = header.source.address.is_v4() && header.destination.address.is_v4();
    std::uint8_t family = v4 ? kTcp4 : kTcp6;
    auto size = address_size(family);
    std::vector<std::uint8_t> out(kSignature.begin(), kSignature.end());
    out.push_back(kVersionCommand);
    out.push_back(family);
    put16(out, 2 * size + 4 + kTlvHeader + 2);
    for (const auto* endpoint : {&header.source, &header.destination}) {
        const auto& in6 = endpoint->address.in6;
        out.insert(out.end(), in6.end() - static_cast<std::ptrdiff_t>(size), in6.end());
    }
    put16(out, header.source.port);
    put16(out, header.destination.port);
    out.push_back(kTlvVersions);
    put16(out, 2);
    out.push_back(header.least);
    out.push_back(header.most);
    return out;
}

Result<std::size_t> proxy_length(Bytes start) {
    if (start.size() < kProxyFixed ||
        !std::equal(kSignature.begin(), kSignature.end(), start.begin()) ||
        start[12] != kVersionCommand || (start[13] != kTcp4 && start[13] != kTcp6)) {
        return fail("is no PROXY v2 header of a TCP connection");
    }
    auto length = kProxyFixed + get16(start.subspan(14));
    if (length > kProxyMost || length < kProxyFixed + 2 * address_size(start[13]) + 4) {
        return fail("PROXY header of {} bytes", length);
    }
    return length;
}

Result<ProxyHeader> decode_proxy(Bytes whole) {
    auto length = proxy_length(whole);
    if (!length) {
        return tl::unexpected(length.error());
    }
    if (*length != whole.size()) {
        return fail("PROXY header of {} bytes has {}", *length, whole.size());
    }
    ProxyHeader header;
    auto size = address_size(whole[13]);
    auto rest = whole.subspan(kProxyFixed);
    header.source.address = Address::from_bytes(rest.first(size));
    header.destination.address = Address::from_bytes(rest.subspan(size, size));
    rest = rest.subspan(2 * size);
    header.source.port = static_cast<std::uint16_t>(get16(rest));
    header.destination.port = static_cast<std::uint16_t>(get16(rest.subspan(2)));
    rest = rest.subspan(4);
    while (rest.size() >= kTlvHeader) {
        auto value = get16(rest.subspan(1));
        if (value > rest.size() - kTlvHeader) {
            return fail("PROXY header: a field reaches beyond its end");
        }
        if (rest[0] == kTlvVersions && value == 2) {
            header.least = rest[kTlvHeader];
            header.most = rest[kTlvHeader + 1];
            return header;
        }
        rest = rest.subspan(kTlvHeader + value);
    }
    return fail("PROXY header of no smc-agent");
}

std::optional<std::uint8_t> agree(const ProxyHeader& theirs) {
    auto most = std::min(theirs.most, kWireMost);
    if (most < std::max(theirs.least, kWireLeast)) {
        return std::nullopt;
    }
    return most;
}

std::string_view to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::hello:
            return "hello";
        case Verdict::joined:
            return "joined";
        case Verdict::refused:
            return "refused";
        case Verdict::failed:
            return "failed";
        case Verdict::denied:
            return "denied";
        case Verdict::version:
            break;
    }
    return "version";
}

std::array<std::uint8_t, kReplySize> encode_reply(const Reply& reply) {
    return {kReplyMark[0], kReplyMark[1], reply.version, static_cast<std::uint8_t>(reply.verdict)};
}

Result<Reply> decode_reply(Bytes bytes) {
    if (bytes.size() != kReplySize || bytes[0] != kReplyMark[0] || bytes[1] != kReplyMark[1] ||
        bytes[3] > static_cast<std::uint8_t>(Verdict::version)) {
        return fail("is no reply of an smc-agent");
    }
    return Reply{bytes[2], static_cast<Verdict>(bytes[3])};
}

void encode_frame(FrameKind kind, std::size_t length, std::uint8_t* out) {
    out[0] = static_cast<std::uint8_t>(kind);
    out[1] = static_cast<std::uint8_t>(length >> 16);
    out[2] = static_cast<std::uint8_t>(length >> 8);
    out[3] = static_cast<std::uint8_t>(length);
}

Result<Frame> decode_frame(Bytes bytes) {
    Frame frame;
    frame.length = static_cast<std::size_t>(bytes[1]) << 16 | get16(bytes.subspan(2));
    frame.kind = static_cast<FrameKind>(bytes[0]);
    if (bytes[0] > static_cast<std::uint8_t>(FrameKind::direct) ||
        (frame.kind == FrameKind::data) == (frame.length == 0)) {
        return fail("frame of kind {} with {} bytes", bytes[0], frame.length);
    }
    return frame;
}

}  // namespace smc_steer
