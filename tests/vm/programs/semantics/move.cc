// SPDX-License-Identifier: Apache-2.0
// Other ways than send() and recv() that bytes take: sendfile, splice, vectors, many messages.
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

constexpr size_t kMuch = 2 << 20;

class Move : public Connected {};
SEMANTICS_BOTH_ROLES(Move);

Fd file_with(const std::vector<uint8_t>& bytes) {
    Fd file(memfd_create("semantics", MFD_CLOEXEC));
    EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    lseek(file.get(), 0, SEEK_SET);
    return file;
}

TEST_P(Move, Sendfile) {
    constexpr size_t kSize = 300001;
    const Fd file = file_with(pattern(1, kSize));
    tell("recv", "c", kSize, 1);
    for (size_t done = 0; done < kSize;) {
        const ssize_t n = sendfile(fd.get(), file.get(), nullptr, kSize - done);
        ASSERT_GT(n, 0) << error_name(errno);
        done += n;
    }
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Move, SendfileThenClose) {
    constexpr size_t kSize = 100000;
    Fd file = file_with(pattern(1, kSize));
    off_t offset = 0;
    EXPECT_EQ(outcome(sendfile(fd.get(), file.get(), &offset, kSize)), std::to_string(kSize));
    file.reset();
    fd.reset();
    EXPECT_EQ(puppet("recv", "c", kSize, 1), "ok");
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Move, SpliceFromTheSocket) {
    constexpr size_t kSize = 300001;
    std::array<int, 2> ends;
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd out(ends[0]);
    const Fd in(ends[1]);
    tell("send", "c", kSize, 1);
    for (size_t done = 0; done < kSize;) {
        const ssize_t n = splice(fd.get(), nullptr, in.get(), nullptr, 60000, SPLICE_F_MOVE);
        ASSERT_GT(n, 0) << error_name(errno) << " at " << done;
        std::vector<uint8_t> got(n);
        for (ssize_t part = 0; part < n;) {
            const ssize_t m = read(out.get(), got.data() + part, n - part);
            ASSERT_GT(m, 0) << error_name(errno);
            part += m;
        }
        ASSERT_EQ(got, pattern(1, n, done)) << "after " << done;
        done += n;
    }
    EXPECT_EQ(answer(), "ok");
    limit_waits(fd.get(), 100);
    EXPECT_EQ(outcome(splice(fd.get(), nullptr, in.get(), nullptr, 10, 0)), "EAGAIN");
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(outcome(splice(fd.get(), nullptr, in.get(), nullptr, 10, 0)), "0");
}

// Bytes in a pipe are the pipe's: the socket can be read on. In a child, since a kernel that minds
// may not let go of the call until the pipe is empty, signal or not.
TEST_P(Move, ReadWithBytesInAPipe) {
    std::array<int, 2> ends;
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd out(ends[0]);
    const Fd in(ends[1]);
    std::vector<uint8_t> got(4000);
    EXPECT_EQ(puppet("send", "c", got.size(), 1), "ok");
    for (size_t done = 0; done < got.size();) {
        const ssize_t n =
            splice(fd.get(), nullptr, in.get(), nullptr, got.size() - done, SPLICE_F_MOVE);
        ASSERT_GT(n, 0) << error_name(errno);
        done += n;
    }
    EXPECT_EQ(puppet("send", "c", 1000, 2), "ok");
    ASSERT_NE(ready(fd.get(), POLLIN), 0);
    const pid_t child = fork();
    if (child == 0) {
        set_nonblocking(fd.get());
        _exit(expect_stream(fd.get(), 1000, 2) == "ok" ? 0 : 1);
    }
    int status = -1;
    pid_t ended = 0;
    for (int turn = 0; turn < 40 && ended == 0; ++turn) {
        usleep(10000);
        ended = waitpid(child, &status, WNOHANG);
    }
    saw("recv", ended == child ? "returns" : "stays in the kernel until the pipe is read");
    EXPECT_EQ(read(out.get(), got.data(), got.size()), static_cast<ssize_t>(got.size()));
    EXPECT_EQ(got, pattern(1, got.size()));
    while (ended == 0) {
        ended = waitpid(child, &status, 0);
    }
    EXPECT_EQ(status, 0);
}

TEST_P(Move, PipeOutlivesTheSocket) {
    std::array<int, 2> ends;
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd out(ends[0]);
    const Fd in(ends[1]);
    std::vector<uint8_t> got(4000);
    EXPECT_EQ(puppet("send", "c", got.size(), 1), "ok");
    EXPECT_EQ(puppet("close", "c"), "ok");
    for (size_t done = 0; done < got.size();) {
        const ssize_t n =
            splice(fd.get(), nullptr, in.get(), nullptr, got.size() - done, SPLICE_F_MOVE);
        ASSERT_GT(n, 0) << error_name(errno);
        done += n;
    }
    fd.reset();
    EXPECT_EQ(read(out.get(), got.data(), got.size()), static_cast<ssize_t>(got.size()));
    saw("the pipe has", got == pattern(1, got.size()) ? "what was sent" : "other bytes");
}

TEST_P(Move, SpliceToTheSocket) {
    constexpr size_t kSize = 300001;
    std::array<int, 2> ends;
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd out(ends[0]);
    const Fd in(ends[1]);
    const Fd file = file_with(pattern(1, kSize));
    tell("recv", "c", kSize, 1);
    for (size_t done = 0; done < kSize;) {
        const ssize_t n = splice(file.get(), nullptr, in.get(), nullptr, 60000, 0);
        ASSERT_GT(n, 0) << error_name(errno);
        for (ssize_t left = n; left > 0;) {
            const ssize_t m = splice(out.get(), nullptr, fd.get(), nullptr, left, 0);
            ASSERT_GT(m, 0) << error_name(errno) << " at " << done;
            left -= m;
        }
        done += n;
    }
    EXPECT_EQ(answer(), "ok");
}

// 1,000 parts of all sizes.
std::vector<iovec> parts_of(std::vector<uint8_t>& bytes, size_t from) {
    std::vector<iovec> parts;
    for (size_t at = from, i = 0; at < bytes.size() && parts.size() < 1000; ++i) {
        const size_t size = std::min(bytes.size() - at, i % 3 == 0 ? 1 : (i * 977) % 8000);
        parts.push_back({bytes.data() + at, size});
        at += size;
    }
    return parts;
}

TEST_P(Move, VectorsOut) {
    std::vector<uint8_t> bytes = pattern(1, kMuch);
    tell("recv", "c", kMuch, 1);
    for (size_t done = 0; done < kMuch;) {
        std::vector<iovec> parts = parts_of(bytes, done);
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        const ssize_t n = sendmsg(fd.get(), &message, MSG_NOSIGNAL);
        ASSERT_GT(n, 0) << error_name(errno);
        done += n;
    }
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Move, VectorsIn) {
    std::vector<uint8_t> bytes(kMuch);
    tell("send", "c", kMuch, 1);
    for (size_t done = 0; done < kMuch;) {
        const std::vector<iovec> parts = parts_of(bytes, done);
        const ssize_t n = readv(fd.get(), parts.data(), static_cast<int>(parts.size()));
        ASSERT_GT(n, 0) << error_name(errno);
        done += n;
    }
    EXPECT_EQ(answer(), "ok");
    EXPECT_TRUE(bytes == pattern(1, kMuch));
}

// A blocking send of TCP's takes all of it.
TEST_P(Move, OneLargeSend) {
    const std::vector<uint8_t> bytes = pattern(1, kMuch);
    tell("recv", "c", kMuch, 1);
    const ssize_t n = send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ASSERT_GT(n, 0) << error_name(errno);
    saw("send takes", n == static_cast<ssize_t>(kMuch) ? "all" : "a part");
    EXPECT_EQ(send_all(fd.get(), {bytes.begin() + n, bytes.end()}), "ok");
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Move, ManyMessages) {
    std::vector<uint8_t> bytes = pattern(1, 1600);
    std::array<iovec, 16> parts;
    std::array<mmsghdr, 16> messages{};
    for (size_t i = 0; i < parts.size(); ++i) {
        parts[i] = {bytes.data() + i * 100, 100};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    EXPECT_EQ(outcome(sendmmsg(fd.get(), messages.data(), messages.size(), MSG_NOSIGNAL)), "16");
    EXPECT_EQ(messages[15].msg_len, 100U);
    EXPECT_EQ(puppet("recv", "c", 1600, 1), "ok");
}

TEST_P(Move, More) {
    const std::vector<uint8_t> bytes = pattern(1, 300);
    EXPECT_EQ(send(fd.get(), bytes.data(), 100, MSG_MORE | MSG_NOSIGNAL), 100);
    EXPECT_EQ(send(fd.get(), bytes.data() + 100, 200, MSG_NOSIGNAL), 200);
    EXPECT_EQ(puppet("recv", "c", 300, 1), "ok");
}

// TCP sends what MSG_MORE kept back after a fifth of a second.
TEST_P(Move, MoreThenNothing) {
    const std::vector<uint8_t> bytes = pattern(1, 100);
    EXPECT_EQ(send(fd.get(), bytes.data(), 100, MSG_MORE | MSG_NOSIGNAL), 100);
    saw("peer reads", puppet("recv", "c", 100, 1));
}

TEST_P(Move, Corked) {
    EXPECT_EQ(set_option(fd.get(), IPPROTO_TCP, TCP_CORK, 1), 0);
    EXPECT_EQ(send_all(fd.get(), pattern(1, 100)), "ok");
    EXPECT_EQ(set_option(fd.get(), IPPROTO_TCP, TCP_CORK, 0), 0);
    EXPECT_EQ(puppet("recv", "c", 100, 1), "ok");
    EXPECT_EQ(set_option(fd.get(), IPPROTO_TCP, TCP_CORK, 1), 0);
    EXPECT_EQ(send_all(fd.get(), pattern(2, 100)), "ok");
    fd.reset();
    EXPECT_EQ(puppet("recv", "c", 100, 2), "ok");
    EXPECT_EQ(puppet("next", "c"), "end");
}

TEST_P(Move, CorkedThenNothing) {
    EXPECT_EQ(set_option(fd.get(), IPPROTO_TCP, TCP_CORK, 1), 0);
    EXPECT_EQ(send_all(fd.get(), pattern(1, 100)), "ok");
    saw("peer reads", puppet("recv", "c", 100, 1));
}

TEST_P(Move, Zerocopy) {
    saw("SO_ZEROCOPY", outcome(set_option(fd.get(), SOL_SOCKET, SO_ZEROCOPY, 1)));
    const std::vector<uint8_t> bytes = pattern(1, 20000);
    const std::string sent =
        outcome(send(fd.get(), bytes.data(), bytes.size(), MSG_ZEROCOPY | MSG_NOSIGNAL));
    saw("send", sent);
    if (sent == "20000") {
        EXPECT_EQ(puppet("recv", "c", 20000, 1), "ok");
        ready(fd.get(), 0, 300);
        std::array<char, 200> control;
        msghdr message{};
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const bool told = recvmsg(fd.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) == 0;
        saw("completion", told ? "told" : error_name(errno));
    }
}

}  // namespace
}  // namespace semantics
