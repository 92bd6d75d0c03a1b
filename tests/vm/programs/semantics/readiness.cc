// SPDX-License-Identifier: Apache-2.0
// epoll, level- and edge-triggered, poll() and select().
#include <sys/epoll.h>
#include <sys/select.h>

#include <array>
#include <cerrno>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

constexpr unsigned kAll = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP;

class Ready : public Connected {};
SEMANTICS_BOTH_ROLES(Ready);

TEST_P(Ready, Level) {
    Watch watch(fd.get(), kAll);
    EXPECT_EQ(watch.wait(), "OUT");
    EXPECT_EQ(watch.wait(), "OUT");
    EXPECT_EQ(puppet("send", "c", 100, 1), "ok");
    EXPECT_EQ(settled(fd.get(), "IN+OUT"), "IN+OUT");
    EXPECT_EQ(watch.wait(), "IN+OUT");
    EXPECT_EQ(expect_stream(fd.get(), 60, 1), "ok");
    EXPECT_EQ(watch.wait(), "IN+OUT") << "40 bytes are left";
    EXPECT_EQ(expect_stream(fd.get(), 40, 1, 60), "ok");
    EXPECT_EQ(watch.wait(), "OUT");
}

TEST_P(Ready, LevelIn) {
    Watch watch(fd.get(), EPOLLIN);
    EXPECT_EQ(watch.wait(kNothingMs), "none");
    tell("pause", 100);
    tell("send", "c", 100, 1);
    EXPECT_EQ(watch.wait(), "IN") << "epoll_wait was asleep";
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Ready, Edge) {
    Watch watch(fd.get(), kAll | EPOLLET);
    EXPECT_EQ(watch.wait(), "OUT");
    saw("a second time", watch.wait(kNothingMs));
    EXPECT_EQ(puppet("send", "c", 100, 1), "ok");
    EXPECT_EQ(watch.wait(), "IN+OUT");
    saw("nothing new", watch.wait(kNothingMs));
    EXPECT_EQ(puppet("send", "c", 100, 2), "ok");
    EXPECT_EQ(watch.wait(), "IN+OUT") << "more came";
    EXPECT_EQ(expect_stream(fd.get(), 100, 1), "ok");
    EXPECT_EQ(expect_stream(fd.get(), 100, 2), "ok");
    saw("all is read", watch.wait(kNothingMs));
    EXPECT_EQ(puppet("send", "c", 100, 3), "ok");
    EXPECT_EQ(watch.wait(), "IN+OUT");
}

TEST_P(Ready, EdgeOut) {
    size_t sent = 0;
    auto fill = [&] {
        for (;;) {
            const std::vector<uint8_t> bytes = pattern(1, 10000, sent);
            const ssize_t n =
                send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0) {
                return error_name(errno);
            }
            sent += n;
        }
    };
    Watch watch(fd.get(), EPOLLOUT | EPOLLET);
    // Until nothing moves into the peer's buffers any more.
    do {
        ASSERT_EQ(fill(), "EAGAIN");
    } while (watch.wait(3 * kNothingMs) != "none");
    tell("recv", "c", sent, 1);
    EXPECT_EQ(watch.wait(), "OUT");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Ready, OneShot) {
    Watch watch(fd.get(), EPOLLIN | EPOLLONESHOT);
    EXPECT_EQ(puppet("send", "c", 100, 1), "ok");
    EXPECT_EQ(watch.wait(), "IN");
    EXPECT_EQ(puppet("send", "c", 100, 2), "ok");
    EXPECT_EQ(watch.wait(kNothingMs), "none");
    watch.rearm(EPOLLIN | EPOLLONESHOT);
    EXPECT_EQ(watch.wait(), "IN");
}

TEST_P(Ready, PeerHalfClosed) {
    Watch edge(fd.get(), kAll | EPOLLET);
    EXPECT_EQ(edge.wait(), "OUT");
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    saw("edge", edge.wait());
    saw("level", settled(fd.get(), "IN+OUT+RDHUP"));
    EXPECT_EQ(next(fd.get()), "end");
    saw("after reading", settled(fd.get(), "IN+OUT+RDHUP"));
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    saw("both halves", settled(fd.get(), "IN+OUT+RDHUP+HUP"));
}

TEST_P(Ready, OwnHalfClosed) {
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    EXPECT_EQ(puppet("next", "c"), "end");
    saw("poll", settled(fd.get(), "OUT"));
    EXPECT_EQ(puppet("send", "c", 10, 1), "ok");
    saw("with data", settled(fd.get(), "IN+OUT"));
}

TEST_P(Ready, PeerClosed) {
    EXPECT_EQ(puppet("send", "c", 10, 1), "ok");
    EXPECT_EQ(puppet("close", "c"), "ok");
    saw("with data", settled(fd.get(), "IN+OUT+RDHUP"));
    EXPECT_EQ(expect_stream(fd.get(), 10, 1), "ok");
    saw("all is read", settled(fd.get(), "IN+OUT+RDHUP"));
}

TEST_P(Ready, PeerReset) {
    Watch edge(fd.get(), kAll | EPOLLET);
    EXPECT_EQ(edge.wait(), "OUT");
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("edge", edge.wait());
    saw("level", settled(fd.get(), kGone));
    saw("recv", next(fd.get()));
    saw("after the error", settled(fd.get(), "IN+OUT+RDHUP+HUP"));
}

// What nobody asked for and epoll tells all the same.
TEST_P(Ready, ErrorsUnasked) {
    Watch watch(fd.get(), 0);
    EXPECT_EQ(watch.wait(kNothingMs), "none");
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("epoll", watch.wait());
}

TEST_P(Ready, Select) {
    auto look = [this](int ms) {
        fd_set in;
        fd_set out;
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_SET(fd.get(), &in);
        FD_SET(fd.get(), &out);
        timeval time{0, ms * 1000};
        select(fd.get() + 1, &in, &out, nullptr, &time);
        return std::string(FD_ISSET(fd.get(), &in) ? "in " : "") +
               (FD_ISSET(fd.get(), &out) ? "out" : "");
    };
    EXPECT_EQ(look(0), "out");
    EXPECT_EQ(puppet("send", "c", 100, 1), "ok");
    EXPECT_NE(ready(fd.get(), POLLIN), 0);
    EXPECT_EQ(look(0), "in out");
    EXPECT_EQ(expect_stream(fd.get(), 100, 1), "ok");
    EXPECT_EQ(look(0), "out");
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_NE(ready(fd.get(), POLLIN), 0);
    EXPECT_EQ(look(0), "in out");
}

TEST_P(Ready, PollWakes) {
    tell("pause", 100);
    tell("send", "c", 100, 1);
    EXPECT_EQ(flag_names(ready(fd.get(), POLLIN)), "IN");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(expect_stream(fd.get(), 100, 1), "ok");
    EXPECT_EQ(flag_names(ready(fd.get(), POLLIN, kNothingMs)), "none");
}

// An epoll that has both ends of a relay's work in it: data first, then the end, in one order.
TEST_P(Ready, DataAndEndAtOnce) {
    Watch watch(fd.get(), kAll | EPOLLET);
    EXPECT_EQ(watch.wait(), "OUT");
    EXPECT_EQ(puppet("send", "c", 5000, 1), "ok");
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_NE(watch.wait(), "none");
    EXPECT_EQ(expect_stream(fd.get(), 5000, 1), "ok");
    EXPECT_EQ(next(fd.get()), "end");
}

class ReadyListener : public Semantics {};

TEST_F(ReadyListener, Level) {
    const Fd listener = listen_at(make_address(setup.own, port));
    Watch watch(listener.get(), kAll);
    saw("idle", watch.wait(kNothingMs));
    tell("pause", 100);
    tell("connect", "a", setup.own, port);
    EXPECT_EQ(watch.wait(), "IN");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(puppet("connect", "b", setup.own, port), "ok");
    const Fd first = accept_from(listener.get());
    EXPECT_EQ(watch.wait(), "IN") << "one more waits";
    const Fd second = accept_from(listener.get());
    EXPECT_TRUE(second);
    EXPECT_EQ(watch.wait(kNothingMs), "none");
}

TEST_F(ReadyListener, Edge) {
    const Fd listener = listen_at(make_address(setup.own, port));
    Watch watch(listener.get(), EPOLLIN | EPOLLET);
    EXPECT_EQ(puppet("connect", "a", setup.own, port), "ok");
    EXPECT_EQ(watch.wait(), "IN");
    saw("nothing new", watch.wait(kNothingMs));
    EXPECT_EQ(puppet("connect", "b", setup.own, port), "ok");
    EXPECT_EQ(watch.wait(), "IN");
}

// Event loops add their socket to epoll before they connect it.
TEST_F(ReadyListener, ConnectInsideAnEpoll) {
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    const Fd fd = open_stream(AF_INET, SOCK_NONBLOCK);
    Watch watch(fd.get(), kAll | EPOLLET);
    saw("unconnected", watch.wait(kNothingMs));
    EXPECT_EQ(outcome(connect_to(fd.get(), make_address(setup.peer, port))), "EINPROGRESS");
    std::string seen;
    for (int i = 0; i < 5 && seen != "OUT"; ++i) {
        seen = watch.wait();
    }
    EXPECT_EQ(seen, "OUT");
    EXPECT_EQ(puppet("accept", "l", "c"), "ok");
    meet(fd.get());
    EXPECT_EQ(puppet("send", "c", 100, 1), "ok");
    EXPECT_EQ(watch.wait(), "IN+OUT");
}

}  // namespace
}  // namespace semantics
