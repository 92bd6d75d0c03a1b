// SPDX-License-Identifier: Apache-2.0
// One socket, several descriptors and processes.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>

#include "fixture.h"

namespace semantics {
namespace {

class Share : public Connected {
protected:
    // `work` in a child; its exit code.
    static pid_t child(const std::function<bool()>& work) {
        const pid_t pid = fork();
        if (pid == 0) {
            watch_time(10);
            _exit(work() ? 0 : 1);
        }
        return pid;
    }
    static int code(pid_t pid) {
        int status = -1;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
};
SEMANTICS_BOTH_ROLES(Share);

TEST_P(Share, Duplicate) {
    Fd copy(dup(fd.get()));
    fd = std::move(copy);
    exchange();
    Fd second(dup(fd.get()));
    EXPECT_EQ(send_all(second.get(), pattern(1, 100)), "ok");
    second.reset();
    EXPECT_EQ(send_all(fd.get(), pattern(1, 100, 100)), "ok");
    EXPECT_EQ(puppet("recv", "c", 200, 1), "ok") << "bytes of both, in order";
    fd.reset();
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Share, ShutdownCountsForAll) {
    const Fd copy(dup(fd.get()));
    EXPECT_EQ(shutdown(copy.get(), SHUT_WR), 0);
    EXPECT_EQ(outcome(send(fd.get(), "x", 1, MSG_NOSIGNAL)), "EPIPE");
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Share, WithAChild) {
    const pid_t pid = child([this] {
        return send_all(fd.get(), pattern(1, 5000)) == "ok" &&
               expect_stream(fd.get(), 5000, 2) == "ok";
    });
    EXPECT_EQ(puppet("recv", "c", 5000, 1), "ok");
    EXPECT_EQ(puppet("send", "c", 5000, 2), "ok");
    EXPECT_EQ(code(pid), 0);
    exchange();  // its end was none of the connection
    fd.reset();
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Share, KeptByAChild) {
    std::array<int, 2> ends;
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd out(ends[0]);
    Fd in(ends[1]);
    const pid_t pid = child([&] {
        char go;
        in.reset();
        return read(out.get(), &go, 1) == 1 && send_all(fd.get(), pattern(1, 5000)) == "ok" &&
               expect_stream(fd.get(), 5000, 2) == "ok";
    });
    fd.reset();
    EXPECT_EQ(write(in.get(), "g", 1), 1);
    EXPECT_EQ(puppet("recv", "c", 5000, 1), "ok");
    EXPECT_EQ(puppet("send", "c", 5000, 2), "ok");
    EXPECT_EQ(code(pid), 0);
    EXPECT_EQ(puppet("next", "c"), "end");
}

// As a server hands its connections to workers.
TEST_P(Share, PassedOn) {
    std::array<int, 2> ends;
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const Fd near(ends[0]);
    const Fd far(ends[1]);
    limit_waits(far.get());
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    char byte = 'x';
    iovec part{&byte, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    // Its own copy has to go first, or it would be passed nothing new.
    const pid_t pid = child([&] {
        fd.reset();
        if (recvmsg(far.get(), &message, 0) != 1) {
            return false;
        }
        int got = -1;
        std::memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(got));
        const Fd passed(got);
        return send_all(passed.get(), pattern(1, 5000)) == "ok" &&
               expect_stream(passed.get(), 5000, 2) == "ok";
    });
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd.get();
    std::memcpy(CMSG_DATA(header), &number, sizeof(number));
    EXPECT_EQ(sendmsg(near.get(), &message, MSG_NOSIGNAL), 1);
    fd.reset();
    EXPECT_EQ(puppet("recv", "c", 5000, 1), "ok");
    EXPECT_EQ(puppet("send", "c", 5000, 2), "ok");
    EXPECT_EQ(code(pid), 0);
    EXPECT_EQ(puppet("next", "c"), "end");
}

// Process 1 of a container that is killed: its connections end as if it had closed them.
TEST_P(Share, HolderKilled) {
    const pid_t pid = child([] {
        pause();
        pause();
        return false;
    });
    fd.reset();
    EXPECT_EQ(puppet("send", "c", 10, 1), "ok");
    kill(pid, SIGKILL);
    EXPECT_EQ(code(pid), -1);
    saw("peer reads", puppet("next", "c"));
}

class ShareListener : public Semantics {};

// Workers that accept from one listener.
TEST_F(ShareListener, WithAChild) {
    Fd listener = listen_at(make_address(setup.own, port));
    const pid_t pid = fork();
    if (pid == 0) {
        watch_time(10);
        const Fd fd = accept_from(listener.get());
        _exit(expect_stream(fd.get(), 1000, 1) == "ok" ? 0 : 1);
    }
    listener.reset();
    EXPECT_EQ(puppet("connect", "c", setup.own, port), "ok");
    EXPECT_EQ(puppet("send", "c", 1000, 1), "ok");
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(puppet("next", "c"), "end");
    EXPECT_EQ(puppet("connect", "d", setup.own, port), "ECONNREFUSED");
}

}  // namespace
}  // namespace semantics
