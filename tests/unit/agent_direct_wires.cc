// SPDX-License-Identifier: Apache-2.0
// Agents' connections to each other, over the loopback interface: who proves to be whom, who is
// sent away.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "agent/base/event_loop.h"
#include "agent/direct/wires.h"
#include "agent/kernel/tcp_socket.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kFirstPort = 27256;

// What everybody can read who is a member.
std::map<std::uint32_t, Nonce> bulletins;

struct WireEnd : WireOwner {
    std::uint32_t slot;
    Nonce own{};
    std::vector<Message> heard;
    int ups = 0, downs = 0;
    std::unique_ptr<Wires> wires;

    WireEnd(EventLoop& loop, std::uint32_t number) : slot(number) {
        own.fill(static_cast<std::uint8_t>(number));
        auto listening = Wires::listen(loop, port(number), *this);
        EXPECT_TRUE(listening) << listening.error().message;
        wires = std::move(*listening);
    }
    static std::uint16_t port(std::uint32_t number) {
        return static_cast<std::uint16_t>(kFirstPort + number);
    }
    void know(std::uint32_t other, std::uint32_t generation = 7) {
        wires->set_peers(
            slot, 7, {{other, {generation, port(other), {Address::parse("127.0.0.1").value()}}}});
    }
    std::optional<Nonce> nonce_of(std::uint32_t of) override {
        auto known = bulletins.find(of);
        return known == bulletins.end() ? std::nullopt : std::optional(known->second);
    }
    void show_nonce() override { bulletins[slot] = own; }
    bool is_ours(const Nonce& nonce) override { return nonce == own; }
    void on_up(std::uint32_t) override { ups++; }
    void on_down(std::uint32_t) override { downs++; }
    void on_message(std::uint32_t, const Message& message) override { heard.push_back(message); }
};

class DirectWires : public ::testing::Test {
protected:
    using Step = std::function<bool()>;
    void SetUp() override { bulletins.clear(); }
    // One step after the other, each again and again until it is true; value: all were. A loop runs
    // once.
    bool play(std::vector<Step> steps, std::chrono::milliseconds most = 8s) {
        std::size_t done = 0;
        auto ticking = loop.every(10ms, [&] {
            while (done < steps.size() && steps[done]()) {
                done++;
            }
            if (done == steps.size() || (most -= 10ms) <= 0ms) {
                loop.exit(0);
            }
        });
        EXPECT_TRUE(ticking);
        EXPECT_TRUE(loop.run());
        return done == steps.size();
    }
    static Step both_up(WireEnd& one, WireEnd& two) {
        return [&] { return one.wires->up(two.slot) && two.wires->up(one.slot); };
    }
    EventLoop loop = EventLoop::create().value();
};

TEST_F(DirectWires, TheHigherSlotCalls) {
    WireEnd one(loop, 1), two(loop, 2);
    one.know(2);
    two.know(1);
    auto talk = [&] {
        Message message{MessageKind::ready, false, WhyNot::none, 1, 0, 0, {}, {}, {}};
        for (std::uint64_t i = 0; i < 1000; i++) {
            message.id = i;
            one.wires->send(2, message);
            two.wires->send(1, message);
        }
        return true;
    };
    ASSERT_TRUE(play({both_up(one, two), talk,
                      [&] { return one.heard.size() == 1000 && two.heard.size() == 1000; }}))
        << one.wires->problem(2) << two.wires->problem(1);
    for (std::uint64_t i = 0; i < 1000; i++) {
        EXPECT_EQ(one.heard[i].id, i);
        EXPECT_EQ(two.heard[i].id, i);
    }
}

TEST_F(DirectWires, TheLowerOneCallsInTheEnd) {
    WireEnd one(loop, 1), two(loop, 2);
    one.know(2);
    // nobody is there
    two.wires->set_peers(2, 7, {{1, {7, 1, {Address::parse("127.0.0.1").value()}}}});
    EXPECT_TRUE(play({both_up(one, two)}));
}

// Who names a number of nobody's bulletin cannot read the region.
TEST_F(DirectWires, WhoCannotReadTheRegionIsNobody) {
    struct Blind : WireEnd {
        using WireEnd::WireEnd;
        std::optional<Nonce> nonce_of(std::uint32_t) override { return Nonce{}; }
    };
    WireEnd one(loop, 1);
    Blind two(loop, 2);
    one.know(2);
    two.know(1);
    EXPECT_FALSE(play({[&] { return one.wires->up(2); }}, 1s));
    EXPECT_EQ(one.ups, 0);
    EXPECT_NE(one.wires->problem(2).find("prove"), std::string::npos) << one.wires->problem(2);
}

TEST_F(DirectWires, AnotherGenerationIsSomebodyElse) {
    WireEnd one(loop, 1), two(loop, 2);
    one.know(2, 8);  // two says 7
    two.know(1);
    EXPECT_FALSE(play({[&] { return one.wires->up(2); }}, 1s));
}

TEST_F(DirectWires, StrangersAreSentAway) {
    WireEnd one(loop, 1);
    auto stranger = tcp_connect({Address::parse("127.0.0.1").value(), WireEnd::port(1)});
    ASSERT_TRUE(stranger);
    EXPECT_TRUE(play({[&] { return one.wires->strangers() == 1; }}));
}

TEST_F(DirectWires, GarbageEndsAWire) {
    WireEnd one(loop, 1);
    one.know(2);
    std::array<char, 32> noise;
    noise.fill('x');
    auto caller = tcp_connect({Address::parse("127.0.0.1").value(), WireEnd::port(1)});
    ASSERT_TRUE(caller);
    EXPECT_TRUE(play({[&] {
        ::send(caller->get(), noise.data(), noise.size(), MSG_NOSIGNAL);
        char byte;
        ssize_t got = recv(caller->get(), &byte, 1, 0);
        return got == 0 || (got < 0 && errno == ECONNRESET);
    }}));
    EXPECT_EQ(one.ups, 0);
}

// Somebody at an address of slot 2's, and what it does by itself.
struct Dialer {
    UniqueFd fd;
    std::vector<std::uint8_t> heard;

    explicit Dialer(const char* from = "127.0.0.1")
        : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        inet_pton(AF_INET, from, &at.sin_addr);
        EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
        at.sin_port = htons(WireEnd::port(1));
        inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
        EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    }
    // Who is called speaks first.
    bool is_greeted() {
        std::array<std::uint8_t, 64> bytes;
        auto got = recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        heard.insert(heard.end(), bytes.begin(), bytes.begin() + std::max<ssize_t>(got, 0));
        return heard.size() >= kHelloSize;
    }
    bool is_closed() {
        is_greeted();
        char byte;
        auto got = recv(fd.get(), &byte, 1, MSG_DONTWAIT);
        return got == 0 || (got < 0 && errno == ECONNRESET);
    }
    template <std::size_t N>
    void say(const std::array<std::uint8_t, N>& bytes) {
        EXPECT_EQ(::send(fd.get(), bytes.data(), N, MSG_NOSIGNAL), static_cast<ssize_t>(N));
    }
};

// Any program may connect from an address that its guest published, at any moment.
TEST_F(DirectWires, NobodyEndsAHandshakeByComingLater) {
    WireEnd one(loop, 1);
    bulletins[2] = Nonce{};
    one.know(2);
    Dialer agent;
    std::vector<Dialer> programs;
    auto come = [&] {
        for (std::size_t i = 1; i < Wires::kMostIncoming; i++) {
            programs.emplace_back();
        }
        return true;
    };
    auto all_greeted = [&] {
        return std::all_of(programs.begin(), programs.end(),
                           [](Dialer& program) { return program.is_greeted(); });
    };
    auto prove = [&] {
        agent.say(encode(Hello{2, 7, one.own}));
        return true;
    };
    auto talk = [&] {
        for (auto& program : programs) {
            program.say(std::array<std::uint8_t, kHelloSize>{});
        }
        agent.say(encode(Message{MessageKind::ready, false, WhyNot::none, 1, 0, 0, {}, {}, {}}));
        return true;
    };
    auto heard = [&] { return one.heard.size() == 1 && one.wires->up(2); };
    EXPECT_TRUE(play({[&] { return agent.is_greeted(); }, come, all_greeted, prove,
                      [&] { return one.wires->up(2); }, talk, heard}))
        << one.wires->problem(2);
    EXPECT_EQ(one.ups, 1);
    EXPECT_EQ(one.downs, 0) << "by who has proved nothing";
}

// However many come from a pod's address: the agent has one of its own.
TEST_F(DirectWires, ACrowdIsInItsOwnWay) {
    WireEnd one(loop, 1);
    bulletins[2] = Nonce{};
    one.wires->set_peers(
        1, 7,
        {{2,
          {7,
           WireEnd::port(2),
           {Address::parse("127.0.0.1").value(), Address::parse("127.0.0.2").value()}}}});
    Dialer agent("127.0.0.2");
    std::vector<Dialer> programs;
    auto come = [&] {
        for (std::size_t i = 0; i < 3 * Wires::kMostIncoming; i++) {
            programs.emplace_back();
        }
        return true;
    };
    auto most_closed = [&] {
        auto closed = std::count_if(programs.begin(), programs.end(),
                                    [](Dialer& program) { return program.is_closed(); });
        return static_cast<std::size_t>(closed) > 2 * Wires::kMostIncoming;
    };
    auto prove = [&] {
        agent.say(encode(Hello{2, 7, one.own}));
        return true;
    };
    EXPECT_TRUE(play({[&] { return agent.is_greeted(); }, come, most_closed, prove,
                      [&] { return one.wires->up(2); }},
                     1900ms))
        << one.wires->problem(2);
}

TEST_F(DirectWires, EndsAreTold) {
    WireEnd one(loop, 1);
    auto two = std::make_unique<WireEnd>(loop, 2);
    one.know(2);
    two->know(1);
    auto end = [&] {
        two.reset();
        return true;
    };
    auto begin = [&] {
        two = std::make_unique<WireEnd>(loop, 2);
        two->know(1);
        return true;
    };
    EXPECT_TRUE(play({[&] { return one.wires->up(2) && two->wires->up(1); }, end,
                      [&] { return one.downs == 1 && !one.wires->up(2); }, begin,
                      [&] { return one.wires->up(2) && two->wires->up(1); }}));
    one.wires->set_peers(1, 7, {});
    EXPECT_EQ(one.downs, 2);
}

}  // namespace
}  // namespace smc_steer
