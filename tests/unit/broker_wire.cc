// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "agent/base/unique_fd.h"
#include "broker/wire.h"

namespace smc_steer::broker {
namespace {

std::array<uint8_t, 8> bytes(int64_t value) {
    return std::bit_cast<std::array<uint8_t, 8>>(encode_message(value));
}

TEST(Wire, LittleEndianSigned) {
    EXPECT_EQ(bytes(0), (std::array<uint8_t, 8>{0, 0, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(bytes(0x0102), (std::array<uint8_t, 8>{2, 1, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(bytes(IVSHMEM_MSG_SHM),
              (std::array<uint8_t, 8>{255, 255, 255, 255, 255, 255, 255, 255}));
}

class WireTest : public ::testing::Test {
protected:
    void SetUp() override {
        int pair[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        near = UniqueFd(pair[0]);
        far = UniqueFd(pair[1]);
    }
    // Reads one message; the descriptor that came with it, or -1.
    int receive(int64_t* value) {
        iovec iov{value, sizeof(*value)};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
        msghdr header{};
        header.msg_iov = &iov;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        EXPECT_EQ(recvmsg(far.get(), &header, MSG_CMSG_CLOEXEC), 8);
        cmsghdr* cmsg = CMSG_FIRSTHDR(&header);
        int fd = -1;
        if (cmsg != nullptr) {
            memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
        }
        return fd;
    }
    UniqueFd near, far;
};

TEST_F(WireTest, DescriptorsTravelWithTheirMessage) {
    UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(send_message(near.get(), 5).value());
    EXPECT_TRUE(send_message(near.get(), -1, fd.get()).value());
    EXPECT_TRUE(send_message(near.get(), 6).value());
    int64_t value = 0;
    EXPECT_EQ(receive(&value), -1);
    EXPECT_EQ(value, 5);
    UniqueFd got(receive(&value));
    EXPECT_TRUE(got);
    EXPECT_EQ(value, -1);
    EXPECT_EQ(receive(&value), -1);
    EXPECT_EQ(value, 6);
}

TEST_F(WireTest, AFullSocketTakesWholeMessagesOrNone) {
    int64_t sent = 0;
    int64_t expected = 0;
    bool stalled = false;
    while (sent < 20000) {
        auto done = send_message(near.get(), sent);
        ASSERT_TRUE(done);
        if (*done) {
            ++sent;
            continue;
        }
        stalled = true;
        int64_t value = 0;
        while (recv(far.get(), &value, sizeof(value), 0) == 8) {
            ASSERT_EQ(value, expected++);
        }
    }
    EXPECT_TRUE(stalled) << "the socket took everything: nothing was tested";
}

TEST_F(WireTest, AGoneClientIsAnErrorNotASignal) {
    far.reset();
    auto done = send_message(near.get(), 1);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EPIPE);
}

}  // namespace
}  // namespace smc_steer::broker
