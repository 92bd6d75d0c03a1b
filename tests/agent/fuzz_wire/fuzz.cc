// SPDX-License-Identifier: Apache-2.0
// libFuzzer over what an agent reads of another one: the first byte chooses between a PROXY header,
// a reply, and frames on a connection that is joined to a program's. Invariants are checked with
// abort().
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>
#include <vector>

#include "agent/splice/join.h"

namespace smc_steer {
namespace {

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

void header(Bytes bytes) {
    auto length = proxy_length(bytes);
    auto parsed = decode_proxy(bytes);
    if (parsed) {
        require(length && *length == bytes.size() && *length <= kProxyMost);
        auto again = decode_proxy(encode_proxy(*parsed));
        require(again && *again == *parsed);
        auto version = agree(*parsed);
        require(!version || (*version >= kWireLeast && *version <= kWireMost));
    }
}

void reply(Bytes bytes) {
    auto parsed = decode_reply(bytes);
    if (parsed) {
        require(decode_reply(encode_reply(*parsed)) == *parsed);
        require(!to_string(parsed->verdict).empty());
    }
}

// What a program is to see of `bytes`, and how the connection ends: after a frame END, broken off,
// or, after a frame DIRECT, where the stream ends.
struct Expected {
    std::vector<std::uint8_t> data;
    bool ended = false;
    bool direct = false;  // the rest is data
};

Expected read_frames(Bytes bytes) {
    Expected expected;
    while (bytes.size() >= kFrameHeader) {
        auto frame = decode_frame(bytes.first(kFrameHeader));
        if (!frame) {
            break;
        }
        bytes = bytes.subspan(kFrameHeader);
        if (frame->kind == FrameKind::end) {
            expected.ended = true;
            break;
        }
        if (frame->kind == FrameKind::direct) {
            expected.data.insert(expected.data.end(), bytes.begin(), bytes.end());
            expected.ended = expected.direct = true;
            break;
        }
        auto data = bytes.first(std::min(frame->length, bytes.size()));
        expected.data.insert(expected.data.end(), data.begin(), data.end());
        bytes = bytes.subspan(data.size());
    }
    return expected;
}

struct Connection {
    Connection() {
        std::array<int, 2> fds{};
        require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) == 0);
        near = UniqueFd(fds[0]);
        far = UniqueFd(fds[1]);
    }
    UniqueFd near, far;
};

// `bytes` arrive in pieces as long as the first of them says, then the other agent is gone.
void frames(Bytes bytes) {
    if (bytes.empty()) {
        return;
    }
    std::size_t piece = 1 + bytes[0];
    bytes = bytes.subspan(1);
    auto expected = read_frames(bytes);

    auto poller = std::move(*Poller::create());
    Scratch scratch(64);  // so that little is much
    Moved moved;
    Connection local, wire;
    auto& program = local.far;
    auto& agent = wire.far;
    int ends = 0;
    bool broken_off = false;
    Join join(poller, scratch, moved, std::move(local.near), std::move(wire.near), Join::Kind{},
              [&](Join& one) {
                  ends++;
                  broken_off = one.broken_off();
              });
    require(join.start().has_value());
    if (expected.ended) {
        shutdown(program.get(), SHUT_WR);  // it ends once both directions have
    }

    std::vector<std::uint8_t> got;
    auto turn = [&] {
        poller.turn(std::chrono::milliseconds(0));
        std::array<std::uint8_t, 4096> buffer;
        ssize_t size = 0;
        while ((size = recv(program.get(), buffer.data(), buffer.size(), 0)) > 0) {
            got.insert(got.end(), buffer.begin(), buffer.begin() + size);
        }
    };
    for (std::size_t at = 0; at < bytes.size() && ends == 0; at += piece) {
        auto now = bytes.subspan(at, std::min(piece, bytes.size() - at));
        if (send(agent.get(), now.data(), now.size(), MSG_NOSIGNAL) < 0) {
            break;
        }
        turn();
    }
    if (expected.direct) {
        shutdown(agent.get(), SHUT_WR);
    } else {
        agent.reset();
    }
    for (std::size_t i = 0; i < 8 + bytes.size() / 16 && ends == 0; i++) {
        turn();
    }
    turn();
    require(ends == 1);
    require(broken_off != expected.ended);
    require(moved.received == got.size());
    require(got.size() <= expected.data.size());
    require(std::equal(got.begin(), got.end(), expected.data.begin()));
    require(!expected.ended || got.size() == expected.data.size());
}

}  // namespace
}  // namespace smc_steer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    smc_steer::Bytes bytes(data + 1, size - 1);
    switch (data[0] % 3) {
        case 0:
            smc_steer::header(bytes);
            break;
        case 1:
            smc_steer::reply(bytes);
            break;
        default:
            smc_steer::frames(bytes);
    }
    return 0;
}
