// SPDX-License-Identifier: Apache-2.0
// Listeners: what accept() gives, and what becomes of connections nobody accepted.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

class Accept : public Semantics {
protected:
    void SetUp() override {
        ASSERT_NO_FATAL_FAILURE(Semantics::SetUp());
        listener = listen_at(make_address(setup.own, port));
        ASSERT_TRUE(listener) << error_name(errno);
    }
    Fd listener;
};

TEST_F(Accept, WithoutWaiting) {
    set_nonblocking(listener.get());
    EXPECT_EQ(outcome(accept(listener.get(), nullptr, nullptr)), "EAGAIN");
    EXPECT_EQ(puppet("connect", "c", setup.own, port), "ok");
    EXPECT_EQ(flag_names(ready(listener.get(), kAllFlags)), "IN");
    const Fd fd = accept_from(listener.get());
    ASSERT_TRUE(fd);
    EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0) << "not the listener's";
    EXPECT_EQ(outcome(accept(listener.get(), nullptr, nullptr)), "EAGAIN");
    EXPECT_EQ(settled(listener.get(), "none"), "none");
}

TEST_F(Accept, Flags) {
    EXPECT_EQ(puppet("connect", "c", setup.own, port), "ok");
    const Fd fd = accept_from(listener.get(), nullptr, SOCK_NONBLOCK);
    ASSERT_TRUE(fd);
    meet(fd.get());
    EXPECT_NE(fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    char byte;
    EXPECT_EQ(outcome(recv(fd.get(), &byte, 1, 0)), "EAGAIN");
}

TEST_F(Accept, ReceiveTimeLimit) {
    limit_waits(listener.get(), 100);
    EXPECT_EQ(outcome(accept(listener.get(), nullptr, nullptr)), "EAGAIN");
}

// connect() and send() do not wait for accept().
TEST_F(Accept, LaterThanTheData) {
    for (const char* name : {"a", "b", "c"}) {
        EXPECT_EQ(puppet("connect", name, setup.own, port), "ok");
        EXPECT_EQ(puppet("send", name, 3000, int{name[0]}), "ok");
    }
    for (const char* name : {"a", "b", "c"}) {
        const Fd fd = accept_from(listener.get());
        ASSERT_TRUE(fd) << error_name(errno);
        meet(fd.get(), name);
        EXPECT_EQ(expect_stream(fd.get(), 3000, name[0]), "ok");
        EXPECT_EQ(send_all(fd.get(), pattern(7, 100)), "ok");
        EXPECT_EQ(puppet("recv", name, 100, 7), "ok");
    }
}

TEST_F(Accept, ClosedBefore) {
    EXPECT_EQ(puppet("connect", "c", setup.own, port), "ok");
    EXPECT_EQ(puppet("send", "c", 3000, 1), "ok");
    EXPECT_EQ(puppet("close", "c"), "ok");
    const Fd fd = accept_from(listener.get());
    ASSERT_TRUE(fd) << error_name(errno);
    EXPECT_EQ(expect_stream(fd.get(), 3000, 1), "ok");
    EXPECT_EQ(next(fd.get()), "end");
}

TEST_F(Accept, ResetBefore) {
    EXPECT_EQ(puppet("connect", "c", setup.own, port), "ok");
    EXPECT_EQ(puppet("reset", "c"), "ok");
    ready(listener.get(), POLLIN);
    Address from;
    const Fd fd = accept_from(listener.get(), &from);
    saw("accept", fd ? "ok" : error_name(errno));
    if (fd) {
        saw("recv", next(fd.get()));
        saw("address", from.family() == AF_INET ? "ok" : "none");
    }
}

TEST_F(Accept, ListenerClosedFirst) {
    for (const char* name : {"a", "b", "c"}) {
        EXPECT_EQ(puppet("connect", name, setup.own, port), "ok");
    }
    EXPECT_NE(ready(listener.get(), POLLIN), 0);
    listener.reset();
    for (const char* name : {"a", "b", "c"}) {
        saw(name, puppet("next", name));
    }
    EXPECT_EQ(puppet("connect", "d", setup.own, port), "ECONNREFUSED");
}

// A connection goes on without the listener it came from, whose port is free again.
TEST_F(Accept, ListenerClosedLater) {
    const Fd fd = take(listener.get(), port);
    listener.reset();
    EXPECT_EQ(puppet("send", "c", 5000, 1), "ok");
    EXPECT_EQ(expect_stream(fd.get(), 5000, 1), "ok");
    listener = listen_at(make_address(setup.own, port));
    EXPECT_TRUE(listener) << error_name(errno);
    const Fd second = take(listener.get(), port, setup.own, "d");
    EXPECT_EQ(puppet("send", "d", 5000, 2), "ok");
    EXPECT_EQ(expect_stream(second.get(), 5000, 2), "ok");
    EXPECT_EQ(puppet("send", "c", 5000, 3), "ok");
    EXPECT_EQ(expect_stream(fd.get(), 5000, 3), "ok");
}

TEST_F(Accept, ListenerShutDown) {
    saw("shutdown", outcome(shutdown(listener.get(), SHUT_RD)));
    saw("accept", outcome(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    // What else becomes of it can take longer than a puppet may.
    saw("connect refused",
        puppet("connect", "c", setup.own, port) == "ECONNREFUSED" ? "yes" : "no");
}

TEST_F(Accept, SecondListenerAtThePort) {
    const Fd second = listen_at(make_address(setup.own, port));
    EXPECT_EQ(second ? "ok" : error_name(errno), "EADDRINUSE");
}

TEST_F(Accept, OtherCallsOnTheListener) {
    char byte;
    saw("recv", outcome(recv(listener.get(), &byte, 1, 0)));
    saw("send", outcome(send(listener.get(), "x", 1, MSG_NOSIGNAL)));
    saw("connect", outcome(connect_to(listener.get(), make_address(setup.peer, port))));
    saw("listen", outcome(listen(listener.get(), 5)));
    saw("SO_ACCEPTCONN", std::to_string(option(listener.get(), SOL_SOCKET, SO_ACCEPTCONN)));
    EXPECT_EQ(name_of(listener.get()).text(), make_address(setup.own, port).text());
}

TEST_F(Accept, WithoutBind) {
    const Fd fd = open_stream(AF_INET);
    EXPECT_EQ(outcome(listen(fd.get(), 5)), "0");
    const uint16_t given = name_of(fd.get()).port();
    EXPECT_NE(given, 0);
    EXPECT_EQ(puppet("connect", "c", setup.own, given), "ok");
    EXPECT_TRUE(accept_from(fd.get()));
}

// Options that accepted sockets have from their listener.
TEST_F(Accept, InheritedOptions) {
    set_option(listener.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(listener.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(listener.get(), IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set_option(listener.get(), SOL_SOCKET, SO_PRIORITY, 3);
    const timeval time{7, 0};
    setsockopt(listener.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
    EXPECT_EQ(puppet("connect", "c", setup.own, port), "ok");
    EXPECT_NE(ready(listener.get(), POLLIN), 0);
    const Fd fd(accept(listener.get(), nullptr, nullptr));
    meet(fd.get());
    timeval inherited{};
    socklen_t size = sizeof(inherited);
    getsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &inherited, &size);
    saw("SO_KEEPALIVE", std::to_string(option(fd.get(), SOL_SOCKET, SO_KEEPALIVE)));
    saw("TCP_NODELAY", std::to_string(option(fd.get(), IPPROTO_TCP, TCP_NODELAY)));
    saw("TCP_KEEPIDLE", std::to_string(option(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE)));
    saw("SO_PRIORITY", std::to_string(option(fd.get(), SOL_SOCKET, SO_PRIORITY)));
    saw("SO_RCVTIMEO", std::to_string(inherited.tv_sec));
}

TEST_F(Accept, SharedPort) {
    std::array<Fd, 2> shared;
    for (Fd& each : shared) {
        each = open_stream(AF_INET);
        const Address address = make_address(setup.own, static_cast<uint16_t>(port + 1));
        set_option(each.get(), SOL_SOCKET, SO_REUSEADDR, 1);
        ASSERT_EQ(set_option(each.get(), SOL_SOCKET, SO_REUSEPORT, 1), 0);
        ASSERT_EQ(outcome(bind(each.get(), address.raw(), address.size)), "0");
        ASSERT_EQ(outcome(listen(each.get(), 64)), "0");
    }
    int accepted = 0;
    for (int i = 0; i < 12; ++i) {
        const std::string name = "c" + std::to_string(i);
        ASSERT_EQ(puppet("connect", name, setup.own, port + 1), "ok");
        ASSERT_EQ(puppet("send", name, 100, i), "ok");
        std::array<pollfd, 2> both = {{{shared[0].get(), POLLIN, 0}, {shared[1].get(), POLLIN, 0}}};
        ASSERT_EQ(poll(both.data(), both.size(), kWaitMs), 1);
        const Fd fd = accept_from(both[0].revents != 0 ? both[0].fd : both[1].fd);
        EXPECT_EQ(expect_stream(fd.get(), 100, i), "ok");
        ++accepted;
    }
    EXPECT_EQ(accepted, 12);
}

}  // namespace
}  // namespace semantics
