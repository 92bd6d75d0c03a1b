// SPDX-License-Identifier: Apache-2.0
// The end of a connection in good order: shutdown(), close(), the end of data.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

class Close : public Connected {};
SEMANTICS_BOTH_ROLES(Close);

TEST_P(Close, EndAfterAllData) {
    tell("send", "c", 200000, 1);
    tell("close", "c");
    EXPECT_EQ(expect_stream(fd.get(), 200000, 1), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    EXPECT_EQ(next(fd.get()), "end") << "and it stays that";
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Close, SendsAllDataFirst) {
    tell("pause", 100);
    tell("recv", "c", 200000, 1);
    EXPECT_EQ(send_all(fd.get(), pattern(1, 200000)), "ok");
    fd.reset();
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Close, LingersForItsData) {
    tell("pause", 100);
    tell("recv", "c", 200000, 1);
    const linger limit{1, 3};
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &limit, sizeof(limit)), 0);
    EXPECT_EQ(send_all(fd.get(), pattern(1, 200000)), "ok");
    fd.reset();
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Close, OwnHalfFirst) {
    EXPECT_EQ(send_all(fd.get(), pattern(1, 50000)), "ok");
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    EXPECT_EQ(puppet("recv", "c", 50000, 1), "ok");
    EXPECT_EQ(puppet("next", "c"), "end");
    tell("send", "c", 200000, 2);
    EXPECT_EQ(expect_stream(fd.get(), 200000, 2), "ok");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(puppet("close", "c"), "ok");
    EXPECT_EQ(next(fd.get()), "end");
}

TEST_P(Close, PeersHalfFirst) {
    EXPECT_EQ(puppet("send", "c", 50000, 1), "ok");
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(expect_stream(fd.get(), 50000, 1), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    tell("recv", "c", 200000, 2);
    EXPECT_EQ(send_all(fd.get(), pattern(2, 200000)), "ok");
    EXPECT_EQ(answer(), "ok");
    fd.reset();
    EXPECT_EQ(puppet("next", "c"), "end");
}

// The other end's reader is asleep when the end comes.
TEST_P(Close, WakesAReader) {
    tell("pause", 100);
    tell("shutdown", "c", "wr");
    EXPECT_EQ(next(fd.get()), "end");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(send_all(fd.get(), pattern(1, 100)), "ok");
    EXPECT_EQ(puppet("recv", "c", 100, 1), "ok");
}

TEST_P(Close, WriteAfterOwnShutdown) {
    static volatile sig_atomic_t signals;
    signals = 0;
    const auto old = signal(SIGPIPE, [](int) { signals = signals + 1; });
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    EXPECT_EQ(outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)), "EPIPE");
    EXPECT_EQ(signals, 0);
    EXPECT_EQ(outcome(write(fd.get(), "x", 1)), "EPIPE");
    saw("SIGPIPE", std::to_string(signals));
    signal(SIGPIPE, old);
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0) << "once more does no harm";
}

TEST_P(Close, ReadingShutDown) {
    EXPECT_EQ(puppet("send", "c", 100, 1), "ok");
    EXPECT_NE(ready(fd.get(), POLLIN), 0);
    EXPECT_EQ(shutdown(fd.get(), SHUT_RD), 0);
    saw("poll", settled(fd.get(), "IN+OUT+RDHUP"));
    saw("what was there", expect_stream(fd.get(), 100, 1));
    saw("then", next(fd.get()));
    EXPECT_EQ(send_all(fd.get(), pattern(2, 1000)), "ok");
    EXPECT_EQ(puppet("recv", "c", 1000, 2), "ok");
    EXPECT_EQ(puppet("send", "c", 10, 3), "ok");
    ready(fd.get(), POLLPRI, 100);
    set_nonblocking(fd.get());
    saw("what came later", next(fd.get()));
}

TEST_P(Close, BothShutDown) {
    EXPECT_EQ(shutdown(fd.get(), SHUT_RDWR), 0);
    EXPECT_EQ(puppet("next", "c"), "end");
    EXPECT_EQ(next(fd.get()), "end");
    EXPECT_EQ(outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)), "EPIPE");
    EXPECT_EQ(puppet("close", "c"), "ok");
    saw("poll when both are gone", settled(fd.get(), "IN+OUT+RDHUP+HUP"));
    saw("shutdown again", outcome(shutdown(fd.get(), SHUT_RDWR)));
}

TEST_P(Close, ReaderWokenByOwnShutdown) {
    const pid_t child = fork();
    if (child == 0) {
        usleep(100000);
        _exit(shutdown(fd.get(), SHUT_RD) == 0 ? 0 : 1);
    }
    saw("recv", next(fd.get()));
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
}

TEST_P(Close, WriteAfterPeerClosed) {
    EXPECT_EQ(puppet("close", "c"), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    saw("first send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    saw("poll", settled(fd.get(), "IN+OUT+RDHUP+ERR+HUP"));
    saw("second send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    saw("recv", next(fd.get()));
    saw("SO_ERROR", pending_error(fd.get()));
}

// Whoever closes while bytes wait to be read has lost them, and the other end is told.
TEST_P(Close, WithUnreadData) {
    EXPECT_EQ(puppet("send", "c", 1000, 1), "ok");
    EXPECT_NE(ready(fd.get(), POLLIN), 0);
    fd.reset();
    saw("peer reads", puppet("next", "c"));
}

TEST_P(Close, PeerHasUnreadData) {
    EXPECT_EQ(send_all(fd.get(), pattern(1, 1000)), "ok");
    EXPECT_EQ(puppet("wait", "c", 1000), "ok");
    EXPECT_EQ(puppet("close", "c"), "ok");
    saw("poll", settled(fd.get(), "IN+OUT+RDHUP+ERR+HUP"));
    saw("recv", next(fd.get()));
    saw("then", next(fd.get()));
}

TEST_P(Close, PeerHasUnreadDataAndSentSome) {
    EXPECT_EQ(send_all(fd.get(), pattern(1, 1000)), "ok");
    EXPECT_EQ(puppet("wait", "c", 1000), "ok");
    EXPECT_EQ(puppet("send", "c", 500, 2), "ok");
    EXPECT_NE(ready(fd.get(), POLLIN), 0);
    EXPECT_EQ(puppet("close", "c"), "ok");
    settled(fd.get(), "IN+OUT+RDHUP+ERR+HUP");
    saw("recv", expect_stream(fd.get(), 500, 2));
    saw("then", next(fd.get()));
}

}  // namespace
}  // namespace semantics
