// SPDX-License-Identifier: Apache-2.0
// Two joins back to back over sockets of this machine: what is moved, how it ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/splice/join.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

void unblock(const UniqueFd& fd) { fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

// Two ends of a TCP connection.
std::pair<UniqueFd, UniqueFd> connection() {
    sockaddr_in sa{};
    sa.sin_family = AF_INET;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(sa);
    UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
    UniqueFd client(socket(AF_INET, SOCK_STREAM, 0));
    auto* address = reinterpret_cast<sockaddr*>(&sa);
    if (bind(listener.get(), address, sizeof(sa)) != 0 || listen(listener.get(), 1) != 0 ||
        getsockname(listener.get(), address, &length) != 0 ||
        connect(client.get(), address, sizeof(sa)) != 0) {
        return {};
    }
    UniqueFd server(accept(listener.get(), nullptr, nullptr));
    unblock(client);
    unblock(server);
    return {std::move(client), std::move(server)};
}

// program - client's agent - server's agent - server
class Joined : public testing::TestWithParam<Join::Form> {
protected:
    void SetUp() override {
        auto [near_program, near_local] = connection();
        auto [near_wire, far_wire] = connection();
        auto [far_local, far_program] = connection();
        program = std::move(near_program);
        server = std::move(far_program);
        auto forget = [this](Join& one) {
            broken_off += one.broken_off();
            ended++;
            if (auto wire = one.take_wire()) {
                EXPECT_TRUE(one.take_rest().empty());
                wires.push_back(std::move(wire));
            }
        };
        near = std::make_unique<Join>(poller, scratch, moved, std::move(near_local),
                                      std::move(near_wire), Join::Kind{GetParam()}, forget);
        far = std::make_unique<Join>(poller, scratch, moved, std::move(far_local),
                                     std::move(far_wire), Join::Kind{GetParam()}, forget);
        ASSERT_TRUE(near->start());
        ASSERT_TRUE(far->start());
    }

    void turn(int times = 20) {
        for (int i = 0; i < times; i++) {
            poller.turn(1ms);
        }
    }
    // The program sends until nothing more is taken, and the server reads nothing. Bytes.
    std::size_t fill(std::string_view data) {
        std::size_t sent = 0;
        for (int idle = 0; idle < 50 && sent < data.size();) {
            auto more = send(program.get(), data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
            sent += more > 0 ? static_cast<std::size_t>(more) : 0;
            poller.turn(1ms);
            idle = more > 0 ? 0 : idle + 1;
        }
        return sent;
    }
    // As much as the connection takes; and whatever comes at the other end.
    std::string carry(const UniqueFd& from, const UniqueFd& to, std::string_view data) {
        std::string got;
        std::string buffer(1 << 16, '\0');
        for (int idle = 0; idle < 200;) {
            near->tick();
            far->tick();
            auto sent = send(from.get(), data.data(), data.size(), MSG_NOSIGNAL);
            if (sent > 0) {
                data.remove_prefix(static_cast<std::size_t>(sent));
            }
            poller.turn(1ms);
            auto received = recv(to.get(), buffer.data(), buffer.size(), 0);
            if (received > 0) {
                got.append(buffer, 0, static_cast<std::size_t>(received));
            }
            idle = sent > 0 || received > 0 ? 0 : idle + 1;
            if (data.empty() && received == 0) {
                break;
            }
        }
        return got;
    }
    static int read_error(const UniqueFd& fd) {
        char byte = 0;
        auto got = recv(fd.get(), &byte, 1, 0);
        return got < 0 ? errno : got == 0 ? 0 : -1;
    }

    Poller poller = std::move(*Poller::create());
    Scratch scratch = Scratch(16 << 10);
    Moved moved;
    UniqueFd program, server;
    std::unique_ptr<Join> near, far;
    int ended = 0, broken_off = 0;
    std::vector<UniqueFd> wires;
};

std::string pattern(std::size_t size) {
    std::string data(size, '\0');
    std::uint32_t state = 1;
    for (auto& byte : data) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<char>(state >> 24);
    }
    return data;
}

TEST_P(Joined, MovesEveryByteBothWays) {
    auto data = pattern(8 << 20);
    EXPECT_TRUE(carry(program, server, data) == data);
    EXPECT_TRUE(carry(server, program, data) == data);
    EXPECT_EQ(moved.sent, 2 * data.size());
    EXPECT_EQ(moved.received, 2 * data.size());
    EXPECT_EQ(ended, 0);
}

TEST_P(Joined, EachDirectionEndsByItself) {
    EXPECT_EQ(carry(program, server, "question"), "question");
    shutdown(program.get(), SHUT_WR);
    turn();
    EXPECT_EQ(read_error(server), 0);
    EXPECT_EQ(ended, 0);
    EXPECT_EQ(carry(server, program, "answer"), "answer");
    shutdown(server.get(), SHUT_WR);
    turn();
    EXPECT_EQ(read_error(program), 0);
    EXPECT_EQ(ended, 2);
    EXPECT_EQ(broken_off, 0);
    // Good for another one, where agents are at both ends.
    EXPECT_EQ(wires.size(), GetParam() == Join::Form::framed ? 2U : 0U);
}

TEST_P(Joined, DataBeforeTheEndArrives) {
    auto data = pattern(300'000);
    std::string_view rest = data;
    std::string got;
    while (!rest.empty()) {
        auto sent = send(program.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent > 0) {
            rest.remove_prefix(static_cast<std::size_t>(sent));
        } else {
            got += carry(program, server, "");
        }
    }
    program.reset();
    got += carry(server, server, "");
    EXPECT_TRUE(got == data);
    EXPECT_EQ(read_error(server), 0);
}

// The wire is not ended as long as it has something to send: SMC would wait there.
TEST_P(Joined, AnEndBehindFullBuffersArrives) {
    auto data = pattern(64 << 20);
    auto sent = fill(data);
    shutdown(program.get(), SHUT_WR);
    turn();
    EXPECT_EQ(ended, 0);
    auto got = carry(server, server, "");
    EXPECT_TRUE(got == data.substr(0, sent));
    EXPECT_EQ(read_error(server), 0);
    EXPECT_EQ(carry(server, program, "answer"), "answer");
    EXPECT_EQ(broken_off, 0);
}

TEST_P(Joined, AResetIsAReset) {
    EXPECT_EQ(carry(program, server, "question"), "question");
    linger reset{1, 0};
    setsockopt(program.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    program.reset();
    turn();
    EXPECT_EQ(read_error(server), ECONNRESET);
    EXPECT_EQ(ended, 2);
}

TEST_P(Joined, AServerThatIsGoneResetsTheClient) {
    server.reset();
    turn();
    EXPECT_EQ(read_error(program), 0);
    for (int i = 0; i < 3; i++) {
        send(program.get(), "x", 1, MSG_NOSIGNAL);
        turn();
    }
    EXPECT_EQ(send(program.get(), "x", 1, MSG_NOSIGNAL), -1);
    EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET) << errno;
    EXPECT_EQ(ended, 2);
}

TEST_P(Joined, ASlowReaderStopsAFastWriter) {
    auto data = pattern(64 << 20);
    auto sent = fill(data);
    EXPECT_LT(sent, data.size());
    auto got = carry(program, server, std::string_view(data).substr(sent));
    EXPECT_TRUE(got == data);
}

INSTANTIATE_TEST_SUITE_P(Forms, Joined, testing::Values(Join::Form::framed, Join::Form::raw),
                         [](const auto& one) {
                             return one.param == Join::Form::framed ? "Framed" : "Raw";
                         });

// An agent that dies in the middle must not look like one that has said all.
class Alone : public Joined {};

TEST_P(Alone, AWireThatEndsWithoutAWordIsBrokenOff) {
    far->break_off();
    turn();
    EXPECT_EQ(read_error(program), ECONNRESET);
    EXPECT_EQ(read_error(server), ECONNRESET);
    EXPECT_EQ(broken_off, 2);
}

INSTANTIATE_TEST_SUITE_P(Framed, Alone, testing::Values(Join::Form::framed));

// The other agent is played: its kernel carries its program's connection on.
class Direct : public testing::Test {
protected:
    void SetUp() override {
        auto [near_program, local] = connection();
        auto [near_wire, far_wire] = connection();
        program = std::move(near_program);
        agent = std::move(far_wire);
        near = std::make_unique<Join>(poller, scratch, moved, std::move(local),
                                      std::move(near_wire), Join::Kind{}, [this](Join& one) {
                                          broken_off = one.broken_off();
                                          reusable = one.take_wire().valid();
                                          ended = true;
                                      });
        ASSERT_TRUE(near->start());
        std::uint8_t frame[kFrameHeader];
        encode_frame(FrameKind::direct, 0, frame);
        say(std::string(frame, frame + kFrameHeader) + "answer");
        EXPECT_EQ(hear(program), "answer");
    }
    void say(std::string_view bytes, int flags = 0) {
        EXPECT_EQ(send(agent.get(), bytes.data(), bytes.size(), flags | MSG_NOSIGNAL),
                  static_cast<ssize_t>(bytes.size()));
        turn();
    }
    void turn() {
        for (int i = 0; i < 20; i++) {
            poller.turn(1ms);
        }
    }
    static std::string hear(const UniqueFd& fd) {
        std::string buffer(4096, '\0');
        auto got = recv(fd.get(), buffer.data(), buffer.size(), 0);
        return got < 0 ? std::strerror(errno) : buffer.substr(0, static_cast<std::size_t>(got));
    }

    Poller poller = std::move(*Poller::create());
    Scratch scratch = Scratch(16 << 10);
    Moved moved;
    UniqueFd program, agent;
    std::unique_ptr<Join> near;
    bool ended = false, broken_off = false, reusable = false;
};

TEST_F(Direct, TheStreamsEndIsTheEnd) {
    say("and more");
    EXPECT_EQ(hear(program), "and more");
    shutdown(agent.get(), SHUT_WR);
    turn();
    EXPECT_EQ(hear(program), "");
    program.reset();
    turn();
    EXPECT_TRUE(ended);
    EXPECT_FALSE(broken_off);
    EXPECT_FALSE(reusable) << "no frame says where the next connection begins";
}

TEST_F(Direct, AnUrgentByteIsAReset) {
    say("!", MSG_OOB);
    EXPECT_EQ(hear(program), std::strerror(ECONNRESET));
    EXPECT_TRUE(ended);
    EXPECT_TRUE(broken_off);
}

// As the kernel does with a connection that it carries on. A descriptor of the same number and file
// cannot be watched as long as the one before is.
TEST_F(Direct, AFileThatSomebodyElseHoldsIsNotWatchedAnyMore) {
    auto [other, local] = connection();
    auto [near_wire, far_wire] = connection();
    const int number = local.get();
    UniqueFd held(dup(number));
    Join join(poller, scratch, moved, std::move(local), std::move(near_wire), Join::Kind{},
              [](Join&) {});
    ASSERT_TRUE(join.start());
    turn();
    join.break_off();
    ASSERT_EQ(dup2(held.get(), number), number);
    local = UniqueFd(number);
    EXPECT_TRUE(poller.watch(number, join));
    poller.unwatch(number);
}

TEST_F(Direct, WhatWeSendStaysInFrames) {
    EXPECT_EQ(send(program.get(), "question", 8, 0), 8);
    turn();
    EXPECT_EQ(hear(agent), std::string("\0\0\0\x08question", 12));
}

}  // namespace
}  // namespace smc_steer
