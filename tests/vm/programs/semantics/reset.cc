// SPDX-License-Identifier: Apache-2.0
// Connections that are reset: close() with SO_LINGER of no time.
#include <sys/ioctl.h>

#include <cerrno>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

class Reset : public Connected {};
SEMANTICS_BOTH_ROLES(Reset);

TEST_P(Reset, FailsARead) {
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("recv", next(fd.get()));
    saw("next read", next(fd.get()));
    saw("SO_ERROR", pending_error(fd.get()));
    saw("poll", settled(fd.get(), "IN+OUT+RDHUP+HUP"));
}

TEST_P(Reset, FailsAWrite) {
    EXPECT_EQ(puppet("reset", "c"), "ok");
    EXPECT_NE(ready(fd.get(), POLLIN), 0);
    saw("send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    saw("next send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    saw("recv", next(fd.get()));
}

TEST_P(Reset, IsInSoError) {
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("poll", settled(fd.get(), kGone));
    saw("SO_ERROR", pending_error(fd.get()));
    EXPECT_EQ(pending_error(fd.get()), "ok");
    saw("recv after it", next(fd.get()));
    saw("send after it", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    saw("shutdown", outcome(shutdown(fd.get(), SHUT_RDWR)));
}

TEST_P(Reset, ReachesThePeer) {
    reset_connection(fd);
    saw("recv", puppet("next", "c"));
    saw("send", puppet("send", "c", 1, 1));
}

TEST_P(Reset, ReachesThePeersWrite) {
    reset_connection(fd);
    EXPECT_EQ(puppet("pause", 200), "ok");
    saw("send", puppet("send", "c", 1, 1));
    saw("recv", puppet("next", "c"));
}

TEST_P(Reset, WithUnreadData) {
    EXPECT_EQ(puppet("send", "c", 1000, 1), "ok");
    EXPECT_NE(ready(fd.get(), POLLIN), 0);
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("poll", settled(fd.get(), kGone));
    int waiting = -1;
    ioctl(fd.get(), FIONREAD, &waiting);
    saw("FIONREAD", std::to_string(waiting));
    saw("recv", expect_stream(fd.get(), 1000, 1));
    saw("then", next(fd.get()));
}

TEST_P(Reset, AfterTheEnd) {
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("poll", settled(fd.get(), kGone));
    saw("recv", next(fd.get()));
    saw("send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
}

TEST_P(Reset, WakesAReader) {
    tell("pause", 100);
    tell("reset", "c");
    saw("recv", next(fd.get()));
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Reset, WakesAWriter) {
    tell("pause", 200);
    tell("reset", "c");
    saw("send", send_all(fd.get(), std::vector<uint8_t>(64 << 20)));
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Reset, OfOneLeavesOthers) {
    Fd other;
    if (GetParam() == Role::kClient) {
        other = open_stream(AF_INET);
        EXPECT_EQ(connect_to(other.get(), make_address(setup.peer, port)), 0);
        EXPECT_EQ(puppet("accept", "l", "d"), "ok");
        meet(other.get(), "d");
    } else {
        other = take(listener.get(), port, setup.own, "d");
    }
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("recv", next(fd.get()));
    EXPECT_EQ(puppet("send", "d", 20000, 1), "ok");
    EXPECT_EQ(expect_stream(other.get(), 20000, 1), "ok");
    EXPECT_EQ(send_all(other.get(), pattern(2, 20000)), "ok");
    EXPECT_EQ(puppet("recv", "d", 20000, 2), "ok");
}

}  // namespace
}  // namespace semantics
