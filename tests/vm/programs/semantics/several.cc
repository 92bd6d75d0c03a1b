// SPDX-License-Identifier: Apache-2.0
// Several connections at once and one after the other.
#include <cerrno>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

class Several : public Semantics {};

std::string named(const char* letter, int number) { return letter + std::to_string(number); }

// Six, three each way, all open at once; pieces of each in turn.
TEST_F(Several, Interleaved) {
    constexpr int kCount = 6;
    constexpr size_t kPiece = 7000;
    const auto second = static_cast<uint16_t>(port + 1);
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    const Fd listener = listen_at(make_address(setup.own, second));
    std::vector<Fd> fds(kCount);
    for (int i = 0; i < kCount; ++i) {
        if (i % 2 == 0) {
            fds[i] = open_stream(AF_INET);
            ASSERT_EQ(connect_to(fds[i].get(), make_address(setup.peer, port)), 0);
            ASSERT_EQ(puppet("accept", "l", named("c", i)), "ok");
            meet(fds[i].get(), named("c", i));
        } else {
            fds[i] = take(listener.get(), second, setup.own, named("c", i));
        }
    }
    for (int turn = 0; turn < 4; ++turn) {
        for (int i = 0; i < kCount; ++i) {
            EXPECT_EQ(send_all(fds[i].get(), pattern(100 * turn + i, kPiece)), "ok");
            EXPECT_EQ(puppet("send", named("c", i), kPiece, 100 * turn + i + 50), "ok");
        }
        for (int i = kCount - 1; i >= 0; --i) {
            EXPECT_EQ(puppet("recv", named("c", i), kPiece, 100 * turn + i), "ok");
            EXPECT_EQ(expect_stream(fds[i].get(), kPiece, 100 * turn + i + 50), "ok");
        }
    }
    fds[2].reset();
    EXPECT_EQ(puppet("next", "c2"), "end");
    EXPECT_EQ(puppet("send", "c3", 1000, 1), "ok");
    EXPECT_EQ(expect_stream(fds[3].get(), 1000, 1), "ok");
}

TEST_F(Several, ConnectingAtOnce) {
    constexpr int kCount = 12;
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    std::vector<Fd> fds(kCount);
    for (Fd& fd : fds) {
        fd = open_stream(AF_INET, SOCK_NONBLOCK);
        EXPECT_EQ(outcome(connect_to(fd.get(), make_address(setup.peer, port))), "EINPROGRESS");
    }
    for (int i = 0; i < kCount; ++i) {
        EXPECT_EQ(puppet("accept", "l", named("c", i)), "ok");
    }
    // Which of the puppet's sockets is whose, the bytes say.
    for (int i = 0; i < kCount; ++i) {
        EXPECT_NE(ready(fds[i].get(), POLLOUT), 0);
        EXPECT_EQ(pending_error(fds[i].get()), "ok");
        set_nonblocking(fds[i].get(), false);
        EXPECT_EQ(send_all(fds[i].get(), pattern(1, 5000)), "ok");
    }
    for (int i = 0; i < kCount; ++i) {
        EXPECT_EQ(puppet("recv", named("c", i), 5000, 1), "ok");
        EXPECT_EQ(puppet("send", named("c", i), 5000, 2), "ok");
    }
    for (const Fd& fd : fds) {
        EXPECT_EQ(expect_stream(fd.get(), 5000, 2), "ok");
    }
}

TEST_F(Several, FiftyOneByOne) {
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    for (int i = 0; i < 50; ++i) {
        Fd fd = open_stream(AF_INET);
        ASSERT_EQ(outcome(connect_to(fd.get(), make_address(setup.peer, port))), "0") << i;
        ASSERT_EQ(send_all(fd.get(), pattern(i, 100)), "ok");
        ASSERT_EQ(puppet("accept", "l", "c"), "ok") << i;
        ASSERT_EQ(puppet("recv", "c", 100, i), "ok") << i;
        fd.reset();
        ASSERT_EQ(puppet("next", "c"), "end") << i;
    }
}

TEST_F(Several, FiftyOneByOneAccepted) {
    const Fd listener = listen_at(make_address(setup.own, port));
    for (int i = 0; i < 50; ++i) {
        const Fd fd = take(listener.get(), port);
        ASSERT_TRUE(fd) << i;
        ASSERT_EQ(puppet("send", "c", 100, i), "ok") << i;
        ASSERT_EQ(expect_stream(fd.get(), 100, i), "ok") << i;
        ASSERT_EQ(puppet("close", "c"), "ok");
        ASSERT_EQ(next(fd.get()), "end") << i;
    }
}

// The listener of a server that restarts, at the same port.
TEST_F(Several, ListenerComesAgain) {
    for (int i = 0; i < 5; ++i) {
        const Fd listener = listen_at(make_address(setup.own, port));
        ASSERT_TRUE(listener) << error_name(errno);
        Fd fd = take(listener.get(), port);
        EXPECT_EQ(send_all(fd.get(), pattern(1, 1000)), "ok");
        fd.reset();  // first, so that its end of the connection is the one that waits
        EXPECT_EQ(puppet("recv", "c", 1000, 1), "ok");
        EXPECT_EQ(puppet("next", "c"), "end");
        EXPECT_EQ(puppet("close", "c"), "ok");
    }
}

// More connections than the backlog holds: which get through is the kernel's, those that do are
// whole.
TEST_F(Several, SmallBacklog) {
    const Fd listener = listen_at(make_address(setup.own, port), 1);
    EXPECT_EQ(puppet("connect", "a", setup.own, port), "ok");
    EXPECT_EQ(puppet("send", "a", 100, 1), "ok");
    EXPECT_EQ(puppet("connect", "b", setup.own, port), "ok");
    EXPECT_EQ(puppet("send", "b", 100, 2), "ok");
    for (int i = 0; i < 2; ++i) {
        const Fd fd = accept_from(listener.get());
        ASSERT_TRUE(fd) << error_name(errno);
        meet(fd.get(), i == 0 ? "a" : "b");
        EXPECT_EQ(expect_stream(fd.get(), 100, i + 1), "ok");
    }
}

}  // namespace
}  // namespace semantics
