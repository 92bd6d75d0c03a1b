// SPDX-License-Identifier: Apache-2.0
// Two agents' state machines, each with a kernel that knows one connection's end: what they agree
// on, and what becomes of it when one of them changes its mind. The kernel here is a table of what
// was asked for; the real one is in the cases of label direct.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <set>

#include "agent/direct/offload.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr ino_t kNetns = 4711;

// One end of the connection, in one guest.
struct End : DirectRequests, OffloadOwner {
    std::uint32_t slot = 0;
    std::uint32_t peer_slot = 0;
    TcpSocket socket;
    std::uint32_t first_sent = 0, first_received = 0;
    bool alive = true, attached = false, clean = true, made = false, connected = false;
    int room = 1 << 20;  // the largest ring that there is memory for
    int size = 0;
    bool tells_size = true;  // what a ring that was there before has
    direct_reason attach_reason = DIRECT_NO_REASON, make_reason = DIRECT_NO_REASON;
    unsigned makes = 0;
    std::uint64_t token = 0, peer_token = 0, ring_bytes = 0;
    std::string denied;
    bool talks = true;
    std::deque<Message> sent;
    unsigned requests = 0;
    std::shared_ptr<const UniqueFd> file =
        std::make_shared<const UniqueFd>(open("/dev/null", O_RDONLY | O_CLOEXEC));

    bool names_it(const direct_request& request, bool identify) const {
        return alive && ntohs(request.local_port) == socket.addresses.local_port &&
               ntohs(request.remote_port) == socket.addresses.peer_port &&
               request.net == file->get() &&
               (identify ||
                (request.first_sent == first_sent && request.first_received == first_received));
    }
    static DirectAnswer refused(direct_reason why) { return {DirectAnswer::End::refused, why}; }

    DirectAnswer ask(unsigned long what, direct_request& request) override {
        requests++;
        if (!names_it(request, what == DIRECT_IDENTIFY)) {
            return {DirectAnswer::End::no_connection};
        }
        if (what == DIRECT_IDENTIFY) {
            request.first_sent = first_sent;
            request.first_received = first_received;
        } else if (what == DIRECT_ATTACH) {
            if (attach_reason) {
                return refused(attach_reason);
            }
            attached = true;
        } else if (what == DIRECT_DETACH) {
            attached = false;
        }
        request.state = (attached ? DIRECT_ATTACHED : 0) |
                        (attached && clean ? DIRECT_CLEAN_SENDING | DIRECT_CLEAN_RECEIVING : 0) |
                        (connected ? DIRECT_RINGS : 0);
        return {};
    }

    DirectAnswer ask(unsigned long what, direct_rings& rings) override {
        requests++;
        if (!names_it(rings.connection, false)) {
            return {DirectAnswer::End::no_connection};
        }
        if (!attached) {
            return refused(DIRECT_NOT_ATTACHED);
        }
        if (what == DIRECT_MAKE) {
            if (!clean) {
                return refused(DIRECT_NOT_CLEAN);
            }
            makes++;
            if (make_reason) {
                return refused(make_reason);
            }
            if (static_cast<int>(rings.size) > room) {
                return refused(DIRECT_NO_MEMORY);
            }
            EXPECT_FALSE(made) << "made twice";
            EXPECT_EQ(rings.slot, peer_slot);
            EXPECT_EQ(rings.generation, peer_slot * 10);
            made = true;
            size = static_cast<int>(rings.size);
            rings.token = token = slot * 1000 + 1;
        } else if (what == DIRECT_CONNECT) {
            EXPECT_TRUE(made) << "connected before there is one to be read";
            connected = true;
            peer_token = rings.token;
        } else if (what == DIRECT_RETURN) {
            made = connected = false;
        } else if (what == DIRECT_MOVE && !connected) {
            return refused(DIRECT_NO_RING);
        }
        rings.flow.ring_sent = ring_bytes;
        if (made && tells_size) {
            rings.size = static_cast<std::uint32_t>(size);
        }
        return {};
    }

    std::shared_ptr<const UniqueFd> netns_file(ino_t netns) override {
        return netns == kNetns ? file : nullptr;
    }
    std::string why_denied(const Seen&) override { return denied; }
    std::vector<Seen> all;
    const std::vector<Seen>& find_all() override {
        all = {seen()};
        return all;
    }
    Guest guest(std::uint32_t of) override { return {of, of * 10}; }
    void send(std::uint32_t to, const Message& message) override {
        EXPECT_EQ(to, peer_slot);
        // as it is on the wire
        auto bytes = decode_message(encode(message));
        ASSERT_TRUE(bytes) << bytes.error().message;
        sent.push_back(*bytes);
    }
    bool can_talk(std::uint32_t) override { return talks; }

    Seen seen() const {
        Seen one{kNetns, socket, {peer_slot, peer_slot * 10}};
        one.socket.attached = attached;
        return one;
    }
};

class Agreement : public ::testing::Test {
protected:
    void SetUp() override {
        client.slot = server.peer_slot = 1;
        server.slot = client.peer_slot = 2;
        client.socket.addresses = {address("10.0.0.1"), address("10.0.0.2"), 40000, 6379};
        server.socket.addresses = {address("10.0.0.2"), address("10.0.0.1"), 6379, 40000};
        client.socket.inode = 100;
        server.socket.inode = 200;
        client.first_sent = server.first_received = 5000;
        client.first_received = server.first_sent = 9000;
        for (auto* end : {&client, &server}) {
            end->socket.established = true;
            make_agent(*end);
        }
    }
    static Address address(const char* text) { return Address::parse(text).value(); }
    std::unique_ptr<Offload>& agent_of(const End& end) { return end.slot == 1 ? one : two; }
    void make_agent(End& end) {
        auto& agent = agent_of(end);
        agent = std::make_unique<Offload>(limits, 0, end, now);
        agent->set_own_slot(end.slot);
    }
    // Everything that was said arrives, until nobody says anything.
    void deliver() {
        while (!client.sent.empty() || !server.sent.empty()) {
            deliver_one(client, server);
            deliver_one(server, client);
        }
    }
    void deliver_one(End& from, End& to) {
        if (!from.sent.empty()) {
            auto message = from.sent.front();
            from.sent.pop_front();
            agent_of(to)->on_message(to, from.slot, message, now);
        }
    }
    void look(End& end) { agent_of(end)->look(end, {end.seen()}, {}, now += 250 * kMs); }
    void make_hot(End& end) {
        look(end);
        end.socket.bytes.sent += 1 << 20;
        look(end);
    }
    void steps(int count) {
        for (int i = 0; i < count; i++) {
            now += 10 * kMs;
            deliver();
            one->go_on(client, now);
            two->go_on(server, now);
        }
        deliver();
    }
    bool moved() const {
        return client.connected && server.connected && client.peer_token == server.token &&
               server.peer_token == client.token && state(*one, 100) == Offload::State::moved &&
               state(*two, 200) == Offload::State::moved;
    }
    static std::optional<Offload::State> state(const Offload& agent, std::uint64_t inode) {
        const auto* report = agent.report(inode);
        return report ? std::optional(report->state) : std::nullopt;
    }
    bool untouched() const {
        return !client.attached && !client.made && !server.attached && !server.made &&
               !one->report(100) && !two->report(200);
    }

    OffloadLimits limits;
    End client, server;
    std::unique_ptr<Offload> one, two;
    std::uint64_t now = 1'000'000 * kMs;
};

TEST_F(Agreement, WhatIsHotIsMoved) {
    look(client);
    look(client);
    EXPECT_TRUE(untouched()) << "cold";
    make_hot(client);
    EXPECT_TRUE(client.attached);
    steps(5);
    EXPECT_TRUE(moved());
    EXPECT_EQ(client.size, limits.ring);
    EXPECT_EQ(one->totals().now, 1U);
    EXPECT_FALSE(one->under_way() || two->under_way());
}

TEST_F(Agreement, WhoSeesItFirstDoesNotMatter) {
    make_hot(server);
    steps(5);
    EXPECT_TRUE(moved());
}

TEST_F(Agreement, BothAskAtOnce) {
    for (int round = 0; round < 2; round++) {
        now += 1000 * kMs;
        make_hot(round ? client : server);
        make_hot(round ? server : client);
        steps(5);
        EXPECT_TRUE(moved()) << round;
        one->restore(client);
        steps(2);
        EXPECT_TRUE(untouched());
        for (auto* end : {&client, &server}) {
            make_agent(*end);
        }
    }
}

TEST_F(Agreement, WaitsUntilNobodyIsInside) {
    server.clean = false;
    make_hot(client);
    steps(20);
    EXPECT_FALSE(client.made || server.made);
    server.clean = true;
    steps(3);
    EXPECT_TRUE(moved());
}

TEST_F(Agreement, WhoNeverComesOutIsLeftAlone) {
    server.clean = false;
    make_hot(client);
    steps(210);
    EXPECT_TRUE(untouched());
    EXPECT_FALSE(one->why_not(100).empty());
    EXPECT_FALSE(two->why_not(200).empty());
    // and not asked again at once
    make_hot(client);
    EXPECT_FALSE(client.attached);
}

TEST_F(Agreement, NatChangesNames) {
    // The client knows a service's address; the server sees the client behind another port.
    client.socket.addresses.peer = address("10.96.0.1");
    client.socket.addresses.peer_port = 80;
    server.socket.addresses.peer = address("10.0.0.9");
    server.socket.addresses.peer_port = 1024;
    make_hot(server);
    steps(5);
    EXPECT_TRUE(moved());
}

TEST_F(Agreement, AnotherConnectionOfTheSameNameIsNone) {
    server.first_sent += 100;
    make_hot(client);
    steps(5);
    EXPECT_TRUE(untouched());
    EXPECT_EQ(one->why_not(100), to_string(WhyNot::unknown_connection));
}

TEST_F(Agreement, EitherSidesRulesDecide) {
    client.denied = "deny 6379";
    make_hot(client);
    steps(2);
    EXPECT_TRUE(untouched());
    EXPECT_EQ(one->why_not(100), "deny 6379");
    make_hot(server);
    steps(2);
    EXPECT_TRUE(untouched());
    EXPECT_EQ(two->why_not(200), to_string(WhyNot::denied));
}

TEST_F(Agreement, RulesActOnLivingConnections) {
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    server.denied = "deny 6379";
    two->judge(server, now);
    EXPECT_FALSE(server.made || server.attached);
    deliver();
    EXPECT_TRUE(untouched());
    EXPECT_EQ(two->totals().back_denied, 1U);
    EXPECT_EQ(one->totals().back_by_peer, 1U);
    two->judge(server, now);
    EXPECT_EQ(two->why_not(200), "deny 6379") << "judged once more, nothing looked at since";
    look(server);
    EXPECT_EQ(two->why_not(200), "deny 6379");
    server.denied.clear();
    one->judge(client, now);
    two->judge(server, now);
    look(server);
    EXPECT_EQ(two->why_not(200), "") << "idle, and no rule denies it any more";
    make_hot(client);
    steps(5);
    EXPECT_TRUE(moved());
}

TEST_F(Agreement, AReasonOfRulesInForceStays) {
    client.denied = "deny 6379";
    make_hot(client);
    steps(2);
    ASSERT_EQ(one->why_not(100), "deny 6379");
    client.denied.clear();
    one->judge(client, now);
    make_hot(server);
    steps(5);
    ASSERT_TRUE(moved()) << "the other end asked, before this one has looked";
    server.denied = "deny 6379";
    two->judge(server, now);
    deliver();
    auto reason = one->why_not(100);
    EXPECT_NE(reason, "");
    look(client);
    EXPECT_EQ(one->why_not(100), reason);
}

// Nothing of it is hot, and it is there for long and says something all the time.
TEST_F(Agreement, WhatLastsIsMovedIfThatIsWanted) {
    auto talk = [&](int looks, int every) {
        for (int i = 1; i <= looks; i++) {
            client.socket.messages += i % every == 0;
            look(client);
        }
    };
    talk(100, 4);
    EXPECT_TRUE(untouched()) << "off";
    limits.after_ms = 10'000;
    limits.idle_ms = 2'000;
    make_agent(client);
    talk(40, 4);
    EXPECT_TRUE(untouched()) << "not old enough";
    talk(60, 100);
    EXPECT_TRUE(untouched()) << "old, and says nothing but once";
    talk(40, 12);
    EXPECT_TRUE(untouched()) << "its rings would be given back after each word";
    talk(8, 4);
    EXPECT_TRUE(client.attached);
    steps(5);
    EXPECT_TRUE(moved());
}

TEST_F(Agreement, IdleOnesGiveTheirMemoryBack) {
    limits.idle_ms = 1000;
    for (auto* end : {&client, &server}) {
        make_agent(*end);
    }
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    for (int i = 0; i < 8; i++) {
        client.ring_bytes++;
        look(client);
    }
    EXPECT_TRUE(client.made) << "in use";
    for (int i = 0; i < 5; i++) {
        look(client);
    }
    deliver();
    EXPECT_TRUE(untouched());
    EXPECT_EQ(one->totals().back_idle, 1U);
}

TEST_F(Agreement, LittleMemoryMeansSmallRings) {
    client.room = 64 << 10;
    make_hot(client);
    steps(5);
    EXPECT_TRUE(moved());
    EXPECT_EQ(client.size, 64 << 10);
    EXPECT_EQ(server.size, 64 << 10);
}

TEST_F(Agreement, NoMemoryMeansTcp) {
    server.room = 0;
    make_hot(client);
    steps(5);
    EXPECT_TRUE(untouched());
}

// A smaller ring is no help, nor is one of another connection.
TEST_F(Agreement, AGuestThatIsNotReachedIsNoLackOfMemory) {
    client.make_reason = DIRECT_NO_PEER;
    make_hot(client);
    steps(5);
    EXPECT_TRUE(untouched());
    EXPECT_EQ(client.makes, 1U);
    EXPECT_EQ(one->why_not(100), direct_reason_text(DIRECT_NO_PEER));
}

TEST_F(Agreement, ReasonsOfTheKernelAreSaid) {
    client.attach_reason = DIRECT_OTHER_PROTOCOL;
    make_hot(client);
    EXPECT_TRUE(client.sent.empty());
    EXPECT_EQ(one->why_not(100), direct_reason_text(DIRECT_OTHER_PROTOCOL));
    EXPECT_EQ(one->totals().failed, 1U);
}

TEST_F(Agreement, ALockedSocketIsAskedAgain) {
    client.attach_reason = DIRECT_LOCKED;
    make_hot(client);
    steps(2);
    EXPECT_FALSE(client.attached);
    client.attach_reason = DIRECT_NO_REASON;
    steps(5);
    EXPECT_TRUE(moved());
}

TEST_F(Agreement, AnAgentThatDiedIsReplaced) {
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    make_agent(client);  // knows nothing
    EXPECT_EQ(one->totals().now, 0U);
    look(client);
    EXPECT_TRUE(moved()) << "taken over as it is";
    EXPECT_EQ(one->totals().now, 1U);
}

// Its share of the memory is counted by that.
TEST_F(Agreement, WhatIsTakenOverHasTheRingThatItHas) {
    client.room = 64 << 10;
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    for (bool tells : {true, false}) {
        client.tells_size = tells;
        make_agent(client);
        look(client);
        ASSERT_TRUE(one->report(100));
        EXPECT_EQ(one->report(100)->ring, tells ? 64 << 10 : 0) << "a module from before says none";
    }
}

TEST_F(Agreement, AnAgentThatDiedHalfWayLeavesNothing) {
    server.clean = false;
    make_hot(client);
    steps(1);
    ASSERT_TRUE(client.attached);
    make_agent(client);
    look(client);
    EXPECT_FALSE(client.attached);
    steps(300);
    EXPECT_TRUE(untouched());
}

TEST_F(Agreement, AnAgentThatDiedWithARingGivesItBack) {
    make_hot(client);
    for (int i = 0; i < 20 && !client.made; i++) {
        now += 10 * kMs;
        deliver_one(client, server);
        two->go_on(server, now);
        deliver_one(server, client);
    }
    ASSERT_TRUE(client.made && !client.connected);
    make_agent(client);
    look(client);
    EXPECT_FALSE(client.made || client.attached);
}

TEST_F(Agreement, ThePeersAgentGoes) {
    server.clean = false;
    make_hot(client);
    steps(2);
    one->on_down(client, 2, now);
    two->on_down(server, 1, now);
    EXPECT_TRUE(untouched());
}

TEST_F(Agreement, WhatThePeersDriverTookBackIsTcp) {
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    client.connected = false;  // its end said that it reads no more
    look(client);
    EXPECT_FALSE(client.attached);
    deliver();
    EXPECT_TRUE(untouched());
}

TEST_F(Agreement, ConnectionsEnd) {
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    client.ring_bytes = 12345;
    look(client);
    client.alive = false;
    look(client);
    EXPECT_EQ(one->report(100), nullptr);
    EXPECT_EQ(one->totals().ring_bytes, 12345U);
}

TEST_F(Agreement, NobodyToTalkTo) {
    client.talks = false;
    make_hot(client);
    EXPECT_FALSE(client.attached);
    EXPECT_NE(one->why_not(100).find("agent"), std::string::npos);
}

// Who published an address is not yet who has the other end of a connection there.
TEST_F(Agreement, AnAgentThatDoesNotKnowTheConnectionGetsNothing) {
    make_hot(client);
    ASSERT_EQ(client.sent.size(), 1U);
    auto asked = client.sent.front();
    client.sent.clear();
    Message ready{MessageKind::ready, false, WhyNot::none, asked.id, 0, 0, {}, {}, asked.proof};
    one->on_message(client, 2, ready, now);
    EXPECT_FALSE(client.made || client.attached);
    EXPECT_EQ(one->report(100), nullptr);
    // nor does one that asks
    make_agent(client);
    asked.proof[0] ^= 1;
    two->on_message(server, 1, asked, now);
    EXPECT_FALSE(server.attached);
    EXPECT_EQ(server.sent.front().why, WhyNot::unknown_connection);
}

TEST_F(Agreement, QuestionsAboutNothingCostLittle) {
    Message nonsense{MessageKind::prepare, true, WhyNot::none, 1, 0, 0, {}, {}, {}};
    for (unsigned i = 0; i < Offload::kMostMisses; i++) {
        two->on_message(server, 1, nonsense, now);
    }
    auto before = server.requests;
    for (unsigned i = 0; i < 1000; i++) {
        two->on_message(server, 1, nonsense, now);
    }
    EXPECT_EQ(server.requests, before);
    EXPECT_EQ(server.sent.back().why, WhyNot::not_now);
    server.sent.clear();
    two->on_message(server, 1, nonsense, now + 1000 * kMs);
    EXPECT_EQ(server.sent.back().why, WhyNot::unknown_connection) << "and again a second later";
}

TEST_F(Agreement, RulesHoldForWhatIsTakenOver) {
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    client.denied = "deny 6379";
    make_agent(client);
    look(client);
    EXPECT_FALSE(client.made || client.attached);
}

// Each of the two waits longer after each failure: the waits of one do not keep the other out.
TEST_F(Agreement, PausesDoNotChaseEachOther) {
    server.attach_reason = DIRECT_OPTIONS;
    for (int i = 0; i < 4; i++) {
        now += 100'000 * kMs;
        make_hot(client);
        steps(3);
        ASSERT_TRUE(untouched());
    }
    make_hot(client);
    ASSERT_TRUE(client.sent.empty()) << "it waits";
    server.attach_reason = DIRECT_NO_REASON;
    make_agent(server);
    make_hot(server);
    steps(5);
    EXPECT_TRUE(moved());
}

TEST_F(Agreement, AfterARestartNumbersAreOtherOnes) {
    make_hot(client);
    steps(5);
    ASSERT_TRUE(moved());
    make_agent(client);  // takes it over at its next look; before that it asks anew
    client.made = client.connected = client.attached = false;
    make_hot(client);
    steps(5);
    EXPECT_TRUE(moved()) << "the other agent's old entry answered for the new one";
}

TEST_F(Agreement, ASizeThatIsNoneIsNotTaken) {
    make_hot(client);
    deliver_one(client, server);
    now += 10 * kMs;
    two->go_on(server, now);
    deliver_one(server, client);
    one->go_on(client, now);
    ASSERT_EQ(client.sent.size(), 1U);
    client.sent.front().size = 20000;
    steps(3);
    EXPECT_TRUE(moved());
    EXPECT_EQ(server.size, limits.ring);
}

// What is cold costs nothing of the kernel's but the look itself.
TEST_F(Agreement, ColdOnesAreNotAskedAbout) {
    for (int i = 0; i < 10; i++) {
        client.socket.messages++;
        look(client);
    }
    EXPECT_EQ(client.requests, 0U);
}

}  // namespace
}  // namespace smc_steer
