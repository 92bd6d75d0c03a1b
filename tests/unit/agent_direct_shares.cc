// SPDX-License-Identifier: Apache-2.0
// Control groups that want more rings than there is memory for: who has how much, who comes first.
// First the choice by itself, then an agent with a kernel that has room for so many bytes, and with
// another agent that agrees to all.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "agent/direct/offload.h"
#include "agent/direct/shares.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kMillisecondNs = 1'000'000;
constexpr std::uint64_t kHog = 1, kOther = 2, kThird = 3;

std::vector<Claim> hogs(std::size_t count) {
    return std::vector<Claim>(count, Claim{kHog, kMiB, 1000, true});
}

TEST(Shares, WhoHasMoreThanItsShareGives) {
    auto held = hogs(8);
    held[5].recent_bytes = 999;
    auto giver = Shares(held, 25).giver({kOther, 0, 1, false});
    ASSERT_TRUE(giver);
    EXPECT_TRUE(giver->by_share);
    EXPECT_EQ(giver->index, 5U) << "its coldest";
}

TEST(Shares, NobodyElseWantsAny) {
    auto held = hogs(8);
    EXPECT_FALSE(Shares(held, 25).giver({kHog, 0, 1000, false})) << "alike, and its own";
    auto giver = Shares(held, 25).giver({kHog, 0, 5000, false});
    ASSERT_TRUE(giver) << "a hotter one of its own";
    EXPECT_FALSE(giver->by_share);
}

TEST(Shares, WhoHasItsShareTakesNoMore) {
    auto held = hogs(6);
    for (int i = 0; i < 2; i++) {
        held.push_back({kOther, kMiB, 1000, true});
    }
    EXPECT_EQ(Shares(held, 25).left(kOther), 0U);
    EXPECT_FALSE(Shares(held, 25).giver({kOther, 0, 1000, false}));
}

// However hot: the colder group would take it back by its share, and so on for ever.
TEST(Shares, WhoIsWithinItsShareKeepsIt) {
    auto held = hogs(7);
    held.push_back({kOther, kMiB, 1, true});
    EXPECT_FALSE(Shares(held, 25).giver({kHog, 0, 3000, false}));
    auto giver = Shares(held, 25).giver({kHog, 0, 5000, false});
    ASSERT_TRUE(giver);
    EXPECT_NE(giver->index, 7U);
}

TEST(Shares, MoreGroupsThanSharesHaveTheSameEach) {
    std::vector<Claim> held;
    for (std::uint64_t group = 1; group <= 4; group++) {
        held.insert(held.end(), 5, Claim{group, kMiB, 1000, true});
    }
    auto giver = Shares(held, 25).giver({5, 0, 1000, false});
    ASSERT_TRUE(giver) << "four have a quarter each";
    EXPECT_TRUE(giver->by_share);
    EXPECT_EQ(Shares(held, 25).left(5), 4 * kMiB);
    held[giver->index].group = 5;
    EXPECT_FALSE(Shares(held, 25).giver({held[0].group == 5 ? 2U : 1U, 0, 1000, false}))
        << "it does not take it back";
}

TEST(Shares, WhoHasTheMostGives) {
    auto held = hogs(3);
    for (int i = 0; i < 5; i++) {
        held.push_back({kOther, kMiB, 2000, true});
    }
    auto giver = Shares(held, 25).giver({kThird, 0, 1, false});
    ASSERT_TRUE(giver);
    EXPECT_EQ(held[giver->index].group, kOther);
}

TEST(Shares, OnesOnTheirWayAreNotAsked) {
    auto held = hogs(8);
    for (auto& claim : held) {
        claim.can_give = false;
    }
    EXPECT_FALSE(Shares(held, 25).giver({kOther, 0, 1 << 30, false}));
}

TEST(Shares, AllIsForAll) {
    auto held = hogs(8);
    EXPECT_FALSE(Shares(held, 100).giver({kOther, 0, 1000, false}));
    EXPECT_TRUE(Shares(held, 100).giver({kOther, 0, 5000, false}));
}

TEST(Shares, OneOfEachGroupThenTheNext) {
    std::vector<Claim> wanting(100, Claim{kHog, 0, 1000, false});
    wanting[99].recent_bytes = 2000;
    wanting.push_back({kOther, 0, 1, false});
    wanting.push_back({kOther, 0, 5, false});
    wanting.push_back({kThird, 0, 3, false});
    auto order = in_turn(wanting);
    ASSERT_EQ(order.size(), wanting.size());
    EXPECT_EQ((std::vector<std::size_t>{order.begin(), order.begin() + 5}),
              (std::vector<std::size_t>{99, 101, 102, 0, 100}));
    EXPECT_EQ(std::set<std::size_t>(order.begin(), order.end()).size(), wanting.size());
}

// Many connections of one guest: by its port, each has its name.
struct Room : DirectRequests, OffloadOwner {
    struct Known {
        TcpSocket socket;
        bool attached = false, connected = false;
        int ring = 0;
    };
    std::map<std::uint16_t, Known> all;  // by local port
    int free = 8 << 20;
    std::vector<Message> sent;
    std::vector<Seen> found;
    std::shared_ptr<const UniqueFd> file =
        std::make_shared<const UniqueFd>(open("/dev/null", O_RDONLY | O_CLOEXEC));

    void add(std::uint64_t group, int count) {
        for (int i = 0; i < count; i++) {
            auto port = static_cast<std::uint16_t>(1000 + all.size());
            auto& socket = all[port].socket;
            socket.addresses = {Address::parse("10.0.0.1").value(),
                                Address::parse("10.0.0.2").value(), port, 6379};
            socket.inode = port;
            socket.cgroup = group;
            socket.established = true;
        }
    }
    int moved(std::uint64_t group) const {
        int count = 0;
        for (const auto& [port, known] : all) {
            count += known.connected && known.socket.cgroup == group;
        }
        return count;
    }
    int bytes(std::uint64_t group) const {
        int sum = 0;
        for (const auto& [port, known] : all) {
            sum += known.socket.cgroup == group ? known.ring : 0;
        }
        return sum;
    }
    const std::vector<Seen>& see() {
        found.clear();
        for (const auto& [port, known] : all) {
            found.push_back({1, known.socket, {2, 20}});
            found.back().socket.attached = known.attached;
        }
        return found;
    }

    DirectAnswer ask(unsigned long what, direct_request& request) override {
        auto& known = all.at(ntohs(request.local_port));
        if (what == DIRECT_IDENTIFY) {
            request.first_sent = ntohs(request.local_port);
            request.first_received = 7;
        } else if (what == DIRECT_ATTACH) {
            known.attached = true;
        } else if (what == DIRECT_DETACH) {
            known.attached = false;
        }
        request.state =
            known.attached ? DIRECT_ATTACHED | DIRECT_CLEAN_SENDING | DIRECT_CLEAN_RECEIVING : 0;
        return {};
    }
    DirectAnswer ask(unsigned long what, direct_rings& rings) override {
        auto& known = all.at(ntohs(rings.connection.local_port));
        if (what == DIRECT_MAKE) {
            if (static_cast<int>(rings.size) > free) {
                return {DirectAnswer::End::refused, DIRECT_NO_MEMORY};
            }
            known.ring = static_cast<int>(rings.size);
            free -= known.ring;
        } else if (what == DIRECT_CONNECT) {
            known.connected = true;
        } else if (what == DIRECT_RETURN) {
            free += known.ring;
            known.ring = 0;
            known.connected = false;
        }
        rings.flow.ring_sent = known.socket.bytes.sent;
        return {};
    }
    std::shared_ptr<const UniqueFd> netns_file(ino_t) override { return file; }
    std::string why_denied(const Seen&) override { return ""; }
    const std::vector<Seen>& find_all() override { return see(); }
    Guest guest(std::uint32_t of) override { return {of, of * 10}; }
    void send(std::uint32_t, const Message& message) override { sent.push_back(message); }
    bool can_talk(std::uint32_t) override { return true; }
};

class Crowd : public ::testing::Test {
protected:
    void SetUp() override { start(); }
    void start() {
        agent = std::make_unique<Offload>(limits, 0, room, 1);
        agent->set_own_slot(1);
    }
    // The other agent agrees to everything that it has room for.
    void answer() {
        for (auto asked : std::exchange(room.sent, {})) {
            Message said{MessageKind::no, false, WhyNot::none, asked.id, 0, 0, {}, {}, {}};
            if (asked.kind == MessageKind::prepare) {
                said.kind = MessageKind::ready;
                said.proof =
                    prove({{}, 7, asked.addresses.local_port}, Prover::answers, asked.salt);
            } else if (asked.kind == MessageKind::offer) {
                said.kind = peer_is_full ? MessageKind::no : MessageKind::taken;
            } else {
                continue;
            }
            agent->on_message(room, 2, said, now);
        }
    }
    // All connections of these groups move so much in each quarter of a second.
    void run(const std::map<std::uint64_t, std::uint64_t>& traffic, int looks) {
        for (int i = 0; i < looks; i++) {
            for (auto& [port, known] : room.all) {
                auto busy = traffic.find(known.socket.cgroup);
                known.socket.bytes.sent += busy == traffic.end() ? 0 : busy->second;
            }
            agent->look(room, room.see(), {}, now += 250 * kMillisecondNs);
            for (int step = 0; step < 10; step++) {
                answer();
                agent->go_on(room, now + static_cast<std::uint64_t>(step) * 25 * kMillisecondNs);
            }
        }
    }

    bool peer_is_full = false;
    OffloadLimits limits;
    Room room;
    std::unique_ptr<Offload> agent;
    std::uint64_t now = 1'000'000 * kMillisecondNs;
};

TEST_F(Crowd, OneGroupAloneHasAll) {
    room.add(kHog, 300);
    run({{kHog, kMiB}}, 40);
    EXPECT_EQ(room.free, 0);
    EXPECT_EQ(room.bytes(kHog), 8 << 20);
    EXPECT_EQ(agent->totals().back_share, 0U);
}

// A tenth of the hog's traffic on each of its connections, and few of them.
TEST_F(Crowd, OthersGetTheirShare) {
    room.add(kHog, 300);
    run({{kHog, kMiB}}, 40);
    ASSERT_EQ(room.free, 0);
    room.add(kOther, 4);
    run({{kHog, kMiB}, {kOther, kMiB / 10}}, 60);
    EXPECT_GE(room.moved(kOther), 2);
    EXPECT_GE(room.bytes(kOther), 1 << 20);
    EXPECT_LE(room.bytes(kOther), 2 << 20) << "its share, and no more";
    auto before = agent->totals();
    run({{kHog, kMiB}, {kOther, kMiB / 10}}, 100);
    EXPECT_LE(agent->totals().back_share - before.back_share, 4U) << "to and fro";
    EXPECT_GE(room.moved(kOther), 2);
}

// Others of the one that gave it are about to ask at that moment.
// The other agent asked for a ninth connection of the hog's before, and offers its ring just when
// one of the hog's has been taken back for somebody else.
TEST_F(Crowd, RoomThatWasMadeIsNotSnatched) {
    room.add(kHog, 8);
    run({{kHog, kMiB}}, 4);
    ASSERT_EQ(room.free, 0);
    room.add(kHog, 1);
    const auto ninth = static_cast<std::uint16_t>(1008);
    const Salt salt{1};
    Message prepare{MessageKind::prepare, true, WhyNot::none, 5, 0, 0, {}, salt, {}};
    prepare.addresses = {Address::parse("10.0.0.2").value(), Address::parse("10.0.0.1").value(),
                         6379, ninth};
    prepare.proof = prove({{}, 7, ninth}, Prover::asks, salt);
    agent->look(room, room.see(), {}, now);
    agent->on_message(room, 2, prepare, now);
    agent->go_on(room, now);
    ASSERT_TRUE(!room.sent.empty() && room.sent.back().kind == MessageKind::ready);

    room.add(kOther, 1);
    bool offered = false;
    for (int look = 0; look < 2; look++) {
        for (auto& [port, known] : room.all) {
            known.socket.bytes.sent += kMiB;
        }
        agent->look(room, room.see(), {}, now += 250 * kMillisecondNs);
        for (int step = 0; step < 10; step++) {
            answer();
            if (!offered && room.free > 0) {
                offered = true;
                agent->on_message(
                    room, 2, {MessageKind::offer, true, WhyNot::none, 5, kMiB, 9, {}, {}, {}}, now);
            }
            agent->go_on(room, now + static_cast<std::uint64_t>(step) * 25 * kMillisecondNs);
        }
    }
    EXPECT_TRUE(offered);
    EXPECT_EQ(room.moved(kOther), 1);
    EXPECT_EQ(room.all.at(ninth).ring, 0);
}

// The other guest says so only after this one has made its ring.
TEST_F(Crowd, NobodyGivesForWhatTheOtherEndHasNoRoomFor) {
    room.add(kHog, 8);
    run({{kHog, kMiB}}, 4);
    ASSERT_EQ(room.free, 0);
    peer_is_full = true;
    room.add(kOther, 20);
    run({{kHog, kMiB}, {kOther, kMiB}}, 40);
    auto totals = agent->totals();
    EXPECT_LE(totals.back_share + totals.back_evicted, 1U);
    EXPECT_GE(room.moved(kHog), 7);
    peer_is_full = false;
    run({{kHog, kMiB}, {kOther, kMiB}}, 400);
    EXPECT_GE(room.bytes(kOther), 1 << 20) << "a minute later they have their share all the same";
}

TEST_F(Crowd, TheHottestOfTheOthersGetIt) {
    room.add(kHog, 200);
    run({{kHog, kMiB}}, 40);
    room.add(kOther, 40);
    auto hottest = static_cast<std::uint16_t>(1000 + room.all.size() - 1);
    for (int i = 0; i < 40; i++) {
        room.all.at(hottest).socket.bytes.sent += 8 * kMiB;
        run({{kHog, kMiB}, {kOther, kMiB / 10}}, 1);
    }
    EXPECT_TRUE(room.all.at(hottest).connected);
}

TEST_F(Crowd, AllIsForAllIfThatIsWanted) {
    limits.share = 100;
    start();
    room.add(kHog, 200);
    run({{kHog, kMiB}}, 40);
    room.add(kOther, 4);
    run({{kHog, kMiB}, {kOther, kMiB}}, 60);
    EXPECT_EQ(room.moved(kOther), 0);
}

// Of questions that others' guests ask about one group.
TEST_F(Crowd, QuestionsAboutOneGroupLeaveRoomForOthers) {
    room.add(kHog, 300);
    room.add(kOther, 1);
    std::size_t ready = 0;
    std::uint64_t id = 0;
    for (const auto& [port, known] : room.all) {
        const auto& own = known.socket.addresses;
        Salt salt{};
        Message asked{MessageKind::prepare,
                      true,
                      WhyNot::none,
                      ++id,
                      0,
                      0,
                      {own.peer, own.local, own.peer_port, own.local_port},
                      salt,
                      prove({{}, 7, port}, Prover::asks, salt)};
        room.sent.clear();
        agent->on_message(room, 2, asked, now);
        bool refused = !room.sent.empty() && room.sent.back().kind == MessageKind::no;
        ready += !refused;
        if (known.socket.cgroup == kOther) {
            EXPECT_FALSE(refused);
        }
    }
    EXPECT_EQ(ready, Offload::kMostAnsweredOfOne + 1);
}

}  // namespace
}  // namespace smc_steer
