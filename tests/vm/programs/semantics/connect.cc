// SPDX-License-Identifier: Apache-2.0
// connect(): at once, without waiting, refused, never answered.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <chrono>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

class Connect : public Semantics {
protected:
    Address there() const { return make_address(setup.peer, port); }
    // A listener of the puppet that answers no packet.
    void listen_deaf() {
        ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
        ASSERT_EQ(puppet("deafen", "l"), "ok");
    }
    void exchange(int fd) {
        EXPECT_EQ(puppet("accept", "l", "c"), "ok");
        meet(fd);
        EXPECT_EQ(send_all(fd, pattern(1, 5000)), "ok");
        EXPECT_EQ(puppet("recv", "c", 5000, 1), "ok");
        EXPECT_EQ(puppet("send", "c", 5000, 2), "ok");
        EXPECT_EQ(expect_stream(fd, 5000, 2), "ok");
    }
};

TEST_F(Connect, WithoutWaiting) {
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    const Fd fd = open_stream(AF_INET, SOCK_NONBLOCK);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "EINPROGRESS");
    EXPECT_EQ(flag_names(ready(fd.get(), POLLOUT)), "OUT");
    EXPECT_EQ(pending_error(fd.get()), "ok");
    saw("connect again", outcome(connect_to(fd.get(), there())));
    saw("and again", outcome(connect_to(fd.get(), there())));
    set_nonblocking(fd.get(), false);
    exchange(fd.get());
}

TEST_F(Connect, AgainWhileItGoesOn) {
    ASSERT_NO_FATAL_FAILURE(listen_deaf());
    const Fd fd = open_stream(AF_INET, SOCK_NONBLOCK);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "EINPROGRESS");
    saw("connect", outcome(connect_to(fd.get(), there())));
    saw("send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    char byte;
    saw("recv", outcome(recv(fd.get(), &byte, 1, 0)));
    saw("poll", flag_names(ready(fd.get(), kAllFlags, 50)));
}

TEST_F(Connect, Again) {
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    const Fd fd = open_stream(AF_INET);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "0");
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "EISCONN");
    exchange(fd.get());
}

TEST_F(Connect, Refused) {
    const Fd fd = open_stream(AF_INET);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "ECONNREFUSED");
    saw("SO_ERROR after it", pending_error(fd.get()));
}

TEST_F(Connect, RefusedThenAccepted) {
    const Fd fd = open_stream(AF_INET);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "ECONNREFUSED");
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    const std::string again = outcome(connect_to(fd.get(), there()));
    saw("the same socket again", again);
    if (again == "0") {
        exchange(fd.get());
    }
}

TEST_F(Connect, RefusedWithoutWaiting) {
    const Fd fd = open_stream(AF_INET, SOCK_NONBLOCK);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "EINPROGRESS");
    EXPECT_NE(ready(fd.get(), POLLOUT), 0);
    saw("poll", flag_names(ready(fd.get(), kAllFlags)));
    EXPECT_EQ(pending_error(fd.get()), "ECONNREFUSED");
    EXPECT_EQ(pending_error(fd.get()), "ok");
    saw("poll after SO_ERROR", flag_names(ready(fd.get(), kAllFlags)));
}

TEST_F(Connect, RefusedWithoutWaitingTold) {
    const Fd fd = open_stream(AF_INET, SOCK_NONBLOCK);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "EINPROGRESS");
    EXPECT_NE(ready(fd.get(), POLLOUT), 0);
    char byte;
    saw("recv", outcome(recv(fd.get(), &byte, 1, 0)));
    saw("then send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    saw("then connect", outcome(connect_to(fd.get(), there())));
}

TEST_F(Connect, TimedOut) {
    ASSERT_NO_FATAL_FAILURE(listen_deaf());
    const Fd fd = open_stream(AF_INET);
    limit_waits(fd.get(), 10000);
    EXPECT_EQ(set_option(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, 500), 0);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "ETIMEDOUT");
}

TEST_F(Connect, TimedOutWithoutWaiting) {
    ASSERT_NO_FATAL_FAILURE(listen_deaf());
    const Fd fd = open_stream(AF_INET, SOCK_NONBLOCK);
    EXPECT_EQ(set_option(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, 500), 0);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "EINPROGRESS");
    EXPECT_NE(ready(fd.get(), POLLOUT, 10000), 0);
    saw("poll", flag_names(ready(fd.get(), kAllFlags)));
    EXPECT_EQ(pending_error(fd.get()), "ETIMEDOUT");
}

// SO_SNDTIMEO ends the call, not the attempt.
TEST_F(Connect, SendTimeLimit) {
    ASSERT_NO_FATAL_FAILURE(listen_deaf());
    const Fd fd = open_stream(AF_INET);
    limit_waits(fd.get(), 200);
    saw("connect", outcome(connect_to(fd.get(), there())));
}

// The listener hears of it, and never of a connection that was not wanted any more.
TEST_F(Connect, GivenUp) {
    ASSERT_NO_FATAL_FAILURE(listen_deaf());
    Fd fd = open_stream(AF_INET, SOCK_NONBLOCK);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "EINPROGRESS");
    fd.reset();
    ASSERT_EQ(puppet("close", "l"), "ok");
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    fd = open_stream(AF_INET);
    EXPECT_EQ(outcome(connect_to(fd.get(), there())), "0");
    exchange(fd.get());
}

TEST_F(Connect, OtherCallsBefore) {
    const Fd fd = open_stream(AF_INET);
    char byte;
    saw("poll", flag_names(ready(fd.get(), kAllFlags, 0)));
    saw("recv", outcome(recv(fd.get(), &byte, 1, 0)));
    saw("send", outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)));
    saw("shutdown", outcome(shutdown(fd.get(), SHUT_RDWR)));
    saw("accept", outcome(accept(fd.get(), nullptr, nullptr)));
    sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    EXPECT_EQ(outcome(getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &size)),
              "ENOTCONN");
    EXPECT_EQ(name_of(fd.get()).text(), "0.0.0.0:0");
}

}  // namespace
}  // namespace semantics
