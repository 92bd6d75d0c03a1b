// SPDX-License-Identifier: Apache-2.0
// recv() and its flags; how much waits on either side.
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

class Receive : public Connected {
protected:
    // Sends so many bytes of stream 1 here and waits for them.
    void arrive(int size) {
        ASSERT_EQ(puppet("send", "c", size, 1), "ok");
        for (int turn = 0; turn < kWaitMs / 10 && waiting() < size; ++turn) {
            usleep(10000);
        }
        ASSERT_EQ(waiting(), size);
    }
    int waiting() const {
        int size = -1;
        ioctl(fd.get(), FIONREAD, &size);
        return size;
    }
    bool is_stream(const std::vector<uint8_t>& got, size_t size, uint64_t from = 0) const {
        const std::vector<uint8_t> wanted = pattern(1, size, from);
        return std::equal(wanted.begin(), wanted.end(), got.begin());
    }
    std::vector<uint8_t> buffer = std::vector<uint8_t>(10000);
};
SEMANTICS_BOTH_ROLES(Receive);

TEST_P(Receive, Peek) {
    ASSERT_NO_FATAL_FAILURE(arrive(1000));
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(recv(fd.get(), buffer.data(), 300, MSG_PEEK), 300);
        EXPECT_TRUE(is_stream(buffer, 300));
    }
    EXPECT_EQ(recv(fd.get(), buffer.data(), buffer.size(), MSG_PEEK), 1000);
    EXPECT_TRUE(is_stream(buffer, 1000));
    EXPECT_EQ(waiting(), 1000);
    EXPECT_EQ(expect_stream(fd.get(), 1000, 1), "ok");
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 1, MSG_PEEK | MSG_DONTWAIT)), "EAGAIN");
}

TEST_P(Receive, PeekOfTheEnd) {
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(recv(fd.get(), buffer.data(), 1, MSG_PEEK), 0);
    EXPECT_EQ(next(fd.get()), "end");
}

TEST_P(Receive, PeekOffset) {
    ASSERT_NO_FATAL_FAILURE(arrive(1000));
    saw("SO_PEEK_OFF", outcome(set_option(fd.get(), SOL_SOCKET, SO_PEEK_OFF, 0)));
}

TEST_P(Receive, WaitAll) {
    tell("pieces", "c", 5, 200, 1, 20);
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 1000, MSG_WAITALL)), "1000");
    EXPECT_TRUE(is_stream(buffer, 1000));
    EXPECT_EQ(answer(), "ok");
    EXPECT_EQ(puppet("send", "c", 50, 1), "ok");
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 1000, MSG_WAITALL)), "50") << "the end came";
    EXPECT_TRUE(is_stream(buffer, 50));
}

// More than any buffer holds.
TEST_P(Receive, WaitAllOfMuch) {
    constexpr size_t kSize = 3 << 20;
    buffer.resize(kSize);
    limit_waits(fd.get(), 4 * kWaitMs);  // the checked kernel may take that for so much
    tell("send", "c", kSize, 1);
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), kSize, MSG_WAITALL)), std::to_string(kSize));
    EXPECT_TRUE(is_stream(buffer, kSize));
    EXPECT_EQ(answer(), "ok");
}

TEST_P(Receive, WaitAllWithTimeLimit) {
    ASSERT_NO_FATAL_FAILURE(arrive(10));
    limit_waits(fd.get(), 150);
    saw("recv", outcome(recv(fd.get(), buffer.data(), 100, MSG_WAITALL)));
    saw("then", outcome(recv(fd.get(), buffer.data(), 100, MSG_WAITALL)));
}

TEST_P(Receive, DontWait) {
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 10, MSG_DONTWAIT)), "EAGAIN");
    set_nonblocking(fd.get());
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 10, 0)), "EAGAIN");
    EXPECT_EQ(outcome(read(fd.get(), buffer.data(), 10)), "EAGAIN");
    ASSERT_NO_FATAL_FAILURE(arrive(10));
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 100, 0)), "10");
}

TEST_P(Receive, TimeLimit) {
    const timeval time{0, 100000};
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)), 0);
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 10, 0)), "EAGAIN");
    EXPECT_EQ(outcome(read(fd.get(), buffer.data(), 10)), "EAGAIN");
    ASSERT_NO_FATAL_FAILURE(arrive(10));
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 100, 0)), "10");
}

// With MSG_TRUNC a TCP socket throws bytes away instead of copying them.
TEST_P(Receive, Truncate) {
    ASSERT_NO_FATAL_FAILURE(arrive(1000));
    std::fill(buffer.begin(), buffer.end(), 0);
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 400, MSG_TRUNC)), "400");
    saw("buffer", is_stream(buffer, 400) ? "written" : buffer[0] == 0 ? "left alone" : "wrong");
    EXPECT_EQ(expect_stream(fd.get(), 600, 1, 400), "ok");
}

TEST_P(Receive, TruncateWithoutBuffer) {
    ASSERT_NO_FATAL_FAILURE(arrive(1000));
    saw("recv", outcome(recv(fd.get(), nullptr, 400, MSG_TRUNC)));
    saw("left", std::to_string(waiting()));
}

TEST_P(Receive, BadBuffer) {
    ASSERT_NO_FATAL_FAILURE(arrive(1000));
    saw("recv", outcome(recv(fd.get(), nullptr, 400, 0)));
    saw("left", std::to_string(waiting()));
    saw("send", outcome(send(fd.get(), nullptr, 400, MSG_NOSIGNAL)));
}

TEST_P(Receive, Nothing) {
    ASSERT_NO_FATAL_FAILURE(arrive(10));
    EXPECT_EQ(outcome(recv(fd.get(), buffer.data(), 0, 0)), "0");
    EXPECT_EQ(waiting(), 10);
    EXPECT_EQ(outcome(send(fd.get(), buffer.data(), 0, MSG_NOSIGNAL)), "0");
    EXPECT_EQ(expect_stream(fd.get(), 10, 1), "ok");
}

TEST_P(Receive, Waiting) {
    EXPECT_EQ(waiting(), 0);
    ASSERT_NO_FATAL_FAILURE(arrive(1000));
    EXPECT_EQ(expect_stream(fd.get(), 400, 1), "ok");
    EXPECT_EQ(waiting(), 600);
    EXPECT_EQ(expect_stream(fd.get(), 600, 1, 400), "ok");
    EXPECT_EQ(waiting(), 0);
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    saw("after the end", std::to_string(waiting()));
}

TEST_P(Receive, NotSentYet) {
    auto queued = [this](unsigned long request, bool until_none) {
        int size = -1;
        for (int turn = 0; turn < 50; ++turn) {
            if (ioctl(fd.get(), request, &size) != 0) {
                return error_name(errno);
            }
            if (!until_none || size == 0) {
                break;
            }
            usleep(10000);
        }
        return std::to_string(size);
    };
    EXPECT_EQ(queued(SIOCOUTQ, false), "0");
    EXPECT_EQ(send_all(fd.get(), pattern(1, 5000)), "ok");
    EXPECT_EQ(puppet("wait", "c", 5000), "ok");
    saw("SIOCOUTQ unread at the peer", queued(SIOCOUTQ, true));
    saw("SIOCOUTQNSD", queued(SIOCOUTQNSD, true));
    EXPECT_EQ(puppet("recv", "c", 5000, 1), "ok");
    saw("SIOCOUTQ when all is read", queued(SIOCOUTQ, true));
}

TEST_P(Receive, LowWater) {
    saw("SO_RCVLOWAT", outcome(set_option(fd.get(), SOL_SOCKET, SO_RCVLOWAT, 100)));
    ASSERT_NO_FATAL_FAILURE(arrive(50));
    saw("poll with 50 of 100", flag_names(ready(fd.get(), POLLIN, kNothingMs)));
    EXPECT_EQ(puppet("send", "c", 50, 2), "ok");
    EXPECT_EQ(flag_names(ready(fd.get(), POLLIN)), "IN");
}

TEST_P(Receive, Urgent) {
    ASSERT_NO_FATAL_FAILURE(arrive(3));
    saw("send", puppet("urgent", "c"));
    saw("poll", settled(fd.get(), "IN+OUT+PRI"));
    saw("send after it", puppet("send", "c", 3, 2));
    char byte = 0;
    const std::string got = outcome(recv(fd.get(), &byte, 1, MSG_OOB));
    saw("MSG_OOB", got + (byte == '!' ? " !" : ""));
    saw("MSG_OOB again", outcome(recv(fd.get(), &byte, 1, MSG_OOB)));
    saw("read", outcome(recv(fd.get(), buffer.data(), 100, 0)));
    int mark = -1;
    const std::string asked_mark = outcome(ioctl(fd.get(), SIOCATMARK, &mark));
    saw("SIOCATMARK", asked_mark + "/" + std::to_string(mark));
    saw("read on", outcome(recv(fd.get(), buffer.data(), 100, MSG_DONTWAIT)));
}

TEST_P(Receive, UrgentInline) {
    saw("SO_OOBINLINE", outcome(set_option(fd.get(), SOL_SOCKET, SO_OOBINLINE, 1)));
    saw("send", puppet("urgent", "c"));
    saw("read", outcome(recv(fd.get(), buffer.data(), 100, 0)));
}

TEST_P(Receive, Message) {
    ASSERT_NO_FATAL_FAILURE(arrive(1000));
    std::array<iovec, 3> parts = {
        {{buffer.data(), 10}, {buffer.data() + 10, 0}, {buffer.data() + 10, buffer.size() - 10}}};
    sockaddr_storage name{};
    std::array<char, 100> control{};
    msghdr message{};
    message.msg_name = &name;
    message.msg_namelen = sizeof(name);
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    EXPECT_EQ(outcome(recvmsg(fd.get(), &message, 0)), "1000");
    EXPECT_TRUE(is_stream(buffer, 1000));
    saw("msg_flags", std::to_string(message.msg_flags));
    saw("msg_namelen", std::to_string(message.msg_namelen));
    saw("msg_controllen", std::to_string(message.msg_controllen));
}

TEST_P(Receive, From) {
    ASSERT_NO_FATAL_FAILURE(arrive(10));
    Address from;
    EXPECT_EQ(outcome(recvfrom(fd.get(), buffer.data(), 10, 0, from.raw(), &from.size)), "10");
    saw("address length", std::to_string(from.size));
    const Address to = make_address(setup.peer, 1);
    saw("sendto an address", outcome(sendto(fd.get(), "x", 1, MSG_NOSIGNAL, to.raw(), to.size)));
}

TEST_P(Receive, ManyAtOnce) {
    ASSERT_NO_FATAL_FAILURE(arrive(1600));
    std::array<iovec, 16> parts;
    std::array<mmsghdr, 16> messages{};
    for (size_t i = 0; i < parts.size(); ++i) {
        parts[i] = {buffer.data() + i * 100, 100};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    EXPECT_EQ(outcome(recvmmsg(fd.get(), messages.data(), messages.size(), MSG_WAITALL, nullptr)),
              "16");
    EXPECT_TRUE(is_stream(buffer, 1600));
}

}  // namespace
}  // namespace semantics
