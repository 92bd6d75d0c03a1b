// SPDX-License-Identifier: Apache-2.0
// Readers and writers of different speed: nothing is lost and nothing grows without bound.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

constexpr size_t kBound = 64 << 20;  // more would be no bound at all

class Flow : public Connected {
protected:
    // As many bytes of stream 1 as go without waiting.
    size_t fill() {
        size_t total = 0;
        while (total < kBound) {
            const std::vector<uint8_t> bytes = pattern(1, 20000, total);
            const ssize_t n =
                send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0) {
                EXPECT_EQ(error_name(errno), "EAGAIN");
                break;
            }
            total += n;
        }
        return total;
    }
};
SEMANTICS_BOTH_ROLES(Flow);

TEST_P(Flow, SlowPeer) {
    size_t sent = fill();
    EXPECT_GT(sent, 0U);
    EXPECT_LT(sent, kBound);
    // What still moves into the peer's buffers makes room now and then; behind a ring there are
    // TCP's, too.
    for (int turn = 0, quiet = 0; turn < 100 && quiet < 4; ++turn) {
        usleep(50000);
        const size_t before = sent;
        for (;;) {
            const std::vector<uint8_t> more = pattern(1, 1000, sent);
            const ssize_t n = send(fd.get(), more.data(), more.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0) {
                break;
            }
            sent += n;
        }
        const bool full = flag_names(ready(fd.get(), POLLOUT, kNothingMs)) == "none";
        quiet = sent == before && full ? quiet + 1 : 0;
    }
    EXPECT_LT(sent, kBound);
    EXPECT_EQ(flag_names(ready(fd.get(), POLLOUT, 0)), "none");
    tell("recv", "c", sent, 1);
    EXPECT_EQ(flag_names(ready(fd.get(), POLLOUT)), "OUT");
    EXPECT_EQ(answer(), "ok");
    exchange();
}

TEST_P(Flow, SlowReader) {
    const std::string filled = puppet("fill", "c", 1);
    ASSERT_EQ(filled.substr(0, 3), "ok ");
    const size_t sent = std::stoul(filled.substr(3));
    EXPECT_LT(sent, kBound);
    usleep(100000);
    EXPECT_EQ(expect_stream(fd.get(), sent, 1), "ok");
    exchange();
}

TEST_P(Flow, BlockedWriterGoesOn) {
    constexpr size_t kSize = 8 << 20;
    tell("pause", 300);
    tell("recv", "c", kSize, 1);
    EXPECT_EQ(send_all(fd.get(), pattern(1, kSize)), "ok");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Flow, SendTimeLimit) {
    const timeval time{0, 100000};
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)), 0);
    size_t sent = 0;
    std::string last = "ok";
    while (last == "ok" && sent < kBound) {
        const std::vector<uint8_t> bytes = pattern(1, 100000, sent);
        const ssize_t n = send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        last = n < 0 ? error_name(errno) : "ok";
        sent += n < 0 ? 0 : n;
    }
    EXPECT_EQ(last, "EAGAIN");
    EXPECT_EQ(puppet("recv", "c", sent, 1), "ok") << "what it said was sent";
}

// Full, closed, read: all of it is there.
TEST_P(Flow, CloseWithFullBuffers) {
    const size_t sent = fill();
    fd.reset();
    EXPECT_EQ(puppet("recv", "c", sent, 1), "ok");
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Flow, HalfCloseWithFullBuffers) {
    const size_t sent = fill();
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    EXPECT_EQ(puppet("recv", "c", sent, 1), "ok");
    EXPECT_EQ(puppet("next", "c"), "end");
    EXPECT_EQ(puppet("send", "c", 1000, 2), "ok");
    EXPECT_EQ(expect_stream(fd.get(), 1000, 2), "ok");
}

TEST_P(Flow, BothWaysAtOnce) {
    constexpr size_t kSize = 4 << 20;
    tell("echo", "c", kSize);
    std::string sent;
    std::thread writer([&] {
        for (size_t at = 0; at < kSize && (sent.empty() || sent == "ok"); at += 64 << 10) {
            sent = send_all(fd.get(), pattern(1, 64 << 10, at));
        }
    });
    EXPECT_EQ(expect_stream(fd.get(), kSize, 1), "ok");
    writer.join();
    EXPECT_EQ(sent, "ok");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Flow, SmallPieces) {
    tell("pieces", "c", 2000, 3, 1, 0);
    EXPECT_EQ(expect_stream(fd.get(), 6000, 1), "ok");
    EXPECT_EQ(answer(), "ok");
    for (size_t i = 0; i < 2000; ++i) {
        ASSERT_EQ(send_all(fd.get(), pattern(1, 3, 3 * i)), "ok");
    }
    EXPECT_EQ(puppet("recv", "c", 6000, 1), "ok");
}

class FlowBuffers : public Semantics {};

TEST_F(FlowBuffers, Small) {
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    const Fd fd = open_stream(AF_INET);
    EXPECT_EQ(set_option(fd.get(), SOL_SOCKET, SO_SNDBUF, 8000), 0);
    EXPECT_EQ(set_option(fd.get(), SOL_SOCKET, SO_RCVBUF, 8000), 0);
    saw("SO_SNDBUF", std::to_string(option(fd.get(), SOL_SOCKET, SO_SNDBUF)));
    saw("SO_RCVBUF", std::to_string(option(fd.get(), SOL_SOCKET, SO_RCVBUF)));
    EXPECT_EQ(outcome(connect_to(fd.get(), make_address(setup.peer, port))), "0");
    saw("SO_SNDBUF connected", std::to_string(option(fd.get(), SOL_SOCKET, SO_SNDBUF)));
    saw("SO_RCVBUF connected", std::to_string(option(fd.get(), SOL_SOCKET, SO_RCVBUF)));
    EXPECT_EQ(puppet("accept", "l", "c"), "ok");
    meet(fd.get());
    tell("echo", "c", 300000);
    std::thread writer([&] { EXPECT_EQ(send_all(fd.get(), pattern(1, 300000)), "ok"); });
    EXPECT_EQ(expect_stream(fd.get(), 300000, 1), "ok");
    writer.join();
    EXPECT_EQ(answer(), "ok");
}

}  // namespace
}  // namespace semantics
