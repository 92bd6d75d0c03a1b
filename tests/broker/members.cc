// SPDX-License-Identifier: Apache-2.0
// Clients of the real broker over its real socket.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/broker/broker_fixture.h"

namespace smc_steer::tests {
namespace {

using Members = BrokerTest;

TEST_F(Members, IntroductionIsInTheProtocolsOrder) {
    start();
    Client a(socket);
    ASSERT_TRUE(a.introduce(4));
    EXPECT_EQ(a.order, (std::vector<int64_t>{0, 1, -1, 0, 1, 1, 1, 1}));
    Client b(socket);
    ASSERT_TRUE(b.introduce(4));
    EXPECT_EQ(b.order, (std::vector<int64_t>{0, 2, -1, 0, 1, 1, 1, 1, 2, 2, 2, 2}));
    EXPECT_TRUE(a.follow([&] { return a.peers[2].size() == 4; }));
}

TEST_F(Members, VectorsAreAsManyAsAsked) {
    start({"--vectors", "1"});
    Client a(socket);
    ASSERT_TRUE(a.introduce(1));
    EXPECT_EQ(a.order, (std::vector<int64_t>{0, 1, -1, 0, 1}));
}

TEST_F(Members, DoorbellsReachThePeerTheyName) {
    start();
    auto a = member();
    auto b = member();
    ASSERT_TRUE(a->follow([&] { return a->peers[b->id].size() == 4; }));
    for (uint32_t v = 1; v < 4; ++v) {
        a->ring(b->id, v);
        EXPECT_TRUE(b->rung(v)) << v;
        EXPECT_FALSE(a->rung(v, milliseconds(0)));
        b->ring(a->id, v);
        EXPECT_TRUE(a->rung(v)) << v;
    }
}

TEST_F(Members, HeaderTellsTheTruth) {
    start();
    Client a(socket);
    ASSERT_TRUE(a.introduce(4));
    EXPECT_EQ(a.header().magic, IVPCI_SHM_MAGIC);
    EXPECT_EQ(a.header().slots, 4U);
    EXPECT_EQ(a.header().size, 32U << 20);
    EXPECT_EQ(a.header().chunks, a.layout.chunks);
    EXPECT_EQ(a.own().state, IVPCI_SLOT_CONNECTED);
    EXPECT_EQ(a.slot(2).state, IVPCI_SLOT_EMPTY);
    ASSERT_EQ(a.join(), IVPCI_ACK_OK);
    EXPECT_EQ(a.own().state, IVPCI_SLOT_LIVE);
    EXPECT_EQ(a.own().generation, 1U);
    EXPECT_NE(a.own().gid, 0U);
}

TEST_F(Members, HeartbeatCounts) {
    start();
    Client a(socket);
    ASSERT_TRUE(a.introduce(4));
    volatile __u64& beat = a.header().broker_heartbeat;
    uint64_t before = beat;
    EXPECT_TRUE(eventually([&] { return beat >= before + 2; }));
}

TEST_F(Members, NobodyCanResizeTheRegion) {
    start();
    Client a(socket);
    ASSERT_TRUE(a.introduce(4));
    EXPECT_NE(ftruncate(a.region_fd(), 4096), 0);
    EXPECT_NE(ftruncate(a.region_fd(), 1 << 30), 0);
    EXPECT_NE(fcntl(a.region_fd(), F_ADD_SEALS, F_SEAL_WRITE), 0) << "nor make it read-only";
}

TEST_F(Members, LeaseAndReturn) {
    start();
    auto a = member();
    auto b = member();
    ASSERT_EQ(a->request(IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
    EXPECT_EQ(a->own().chunks, 2U);
    EXPECT_EQ(a->lease(0), ivpci_lease(a->id, 1));
    EXPECT_EQ(b->lease(1), ivpci_lease(a->id, 1)) << "everybody sees it";
    ASSERT_EQ(b->request(IVPCI_OP_LEASE, 1000), IVPCI_ACK_OK);
    EXPECT_EQ(b->own().chunks, b->layout.chunks - 2);
    EXPECT_EQ(a->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_FULL);
    EXPECT_EQ(a->request(IVPCI_OP_RETURN, 5), IVPCI_ACK_INVALID) << "not its own";
    EXPECT_EQ(b->request(IVPCI_OP_RETURN, 5), IVPCI_ACK_OK);
    EXPECT_EQ(a->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_EQ(a->lease(5), ivpci_lease(a->id, 1));
}

TEST_F(Members, AnswersRing) {
    start();
    auto a = member();
    while (a->rung(0, milliseconds(0))) {
    }
    ASSERT_EQ(a->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_TRUE(a->rung(0));
}

// A doorbell can get lost with the QEMU that carried it; the request may not.
TEST_F(Members, ARequestWithoutADoorbellIsSeenWithinASecond) {
    start();
    auto a = member();
    a->ctl().req_op = IVPCI_OP_LEASE;
    a->ctl().req_arg = 1;
    a->ctl().req_seq += 1;
    EXPECT_TRUE(eventually([&] { return a->own().chunks == 1; }, milliseconds(3000)));
}

TEST_F(Members, DeathIsToldToEverybody) {
    start();
    auto a = member();
    auto b = member();
    ASSERT_TRUE(a->follow([&] { return a->peers.count(b->id) == 1; }));
    ASSERT_EQ(b->request(IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    uint64_t gid = b->own().gid;
    while (a->rung(0, milliseconds(0))) {
    }
    uint32_t id = b->id;
    b->close();
    EXPECT_TRUE(a->rung(0));
    EXPECT_TRUE(eventually([&] { return a->slot(id).state == IVPCI_SLOT_EMPTY; }));
    EXPECT_EQ(a->slot(id).gid, 0U);
    EXPECT_EQ(a->lease(0), 0U) << "nobody claimed its memory";

    // QEMU is not told: it frees a lost peer's doorbells and uses them when that id returns. The
    // slot keeps its doorbells, and they ring who comes next.
    auto again = member();
    EXPECT_EQ(again->id, id);
    EXPECT_FALSE(a->receive(milliseconds(200))) << "there is nothing to be told";
    ASSERT_EQ(a->peers[id].size(), 4U);
    while (again->rung(2, milliseconds(0))) {
    }
    EXPECT_EQ(eventfd_write(a->peers[id][2].get(), 1), 0);
    EXPECT_TRUE(again->rung(2));
    EXPECT_EQ(again->own().generation, 2U);
    EXPECT_NE(again->own().gid, gid);
}

TEST_F(Members, ClaimedMemoryOfADeadMemberWaitsForTheClaim) {
    start();
    auto owner = member();
    auto writer = member();
    ASSERT_EQ(owner->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    writer->claim(owner->id, 17) = 99;
    owner->close();
    ASSERT_TRUE(eventually([&] { return writer->slot(1).state == IVPCI_SLOT_EMPTY; }));
    std::this_thread::sleep_for(milliseconds(350));  // three looks of the broker
    EXPECT_EQ(writer->lease(0), ivpci_lease(1, 0));
    writer->claim(1, 17) = 0;
    EXPECT_TRUE(eventually([&] { return writer->lease(0) == 0; }));
    EXPECT_EQ(writer->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_EQ(writer->lease(0), ivpci_lease(writer->id, 1));
}

TEST_F(Members, AFullRegionClosesTheDoorAndOpensItAgain) {
    start();
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(member());
    }
    Client fifth(socket);
    // Not just closed: QEMU would read on for ever.
    auto version = fifth.receive();
    auto id = fifth.receive();
    ASSERT_TRUE(version && id);
    EXPECT_EQ(version->value, 0);
    EXPECT_EQ(id->value, -1);
    EXPECT_FALSE(id->fd);
    EXPECT_FALSE(fifth.receive()) << "and then closed";
    EXPECT_NE(broker->err().find("full"), std::string::npos);
    EXPECT_EQ(clients[0]->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    clients[2]->close();
    ASSERT_TRUE(eventually([&] { return clients[0]->slot(3).state == IVPCI_SLOT_EMPTY; }));
    EXPECT_EQ(member()->id, 3U);
}

// The largest region there can be, and nobody but the last reads: over a thousand messages with a
// descriptor each wait in queues, and none is mixed up.
TEST_F(Members, TheLargestRegion) {
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_GE(limit.rlim_max, 4096U) << "this test needs as many descriptors";
    limit.rlim_cur = 256;  // of which the broker must make more by itself
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    start({"--slots", "63", "--vectors", "16", "--size", "1G"});
    limit.rlim_cur = limit.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    std::vector<std::unique_ptr<Client>> idle;
    for (int i = 0; i < 62; ++i) {
        idle.push_back(std::make_unique<Client>(socket));
    }
    Client last(socket);
    ASSERT_TRUE(last.introduce(16));
    EXPECT_EQ(last.id, 63U);
    EXPECT_EQ(last.order.size(), 3U + 1 + 63 * 16);
    for (uint32_t peer = 1; peer <= 63; ++peer) {
        EXPECT_EQ(last.peers[peer].size(), 16U) << peer;
    }
    // The first one reads late and still gets all of it, in order.
    ASSERT_TRUE(idle[0]->introduce(16));
    EXPECT_TRUE(idle[0]->follow([&] { return idle[0]->peers[63].size() == 16; }));
    last.ring(1, 15);
    EXPECT_TRUE(idle[0]->rung(15));
    EXPECT_EQ(last.join(), IVPCI_ACK_OK);
}

TEST_F(Members, WhoSendsIsDropped) {
    start();
    auto good = member();
    auto bad = member();
    ASSERT_EQ(send(bad->socket(), "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    EXPECT_TRUE(eventually([&] { return good->slot(bad->id).state == IVPCI_SLOT_EMPTY; }));
    EXPECT_EQ(good->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
}

// Somebody who connects and does not read while members come and go: nobody notices, and it is told
// the present when it reads at last. (A QEMU that was stopped for a while is such a one.)
TEST_F(Members, WhoDoesNotReadStallsNobodyAndCatchesUp) {
    start();
    auto good = member();
    Client idle(socket);
    ASSERT_TRUE(eventually([&] { return good->slot(2).state == IVPCI_SLOT_CONNECTED; }));
    for (int i = 0; i < 300; ++i) {
        auto begin = std::chrono::steady_clock::now();
        Client guest(socket);
        ASSERT_TRUE(guest.introduce(4)) << i;
        ASSERT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2)) << i;
        uint32_t id = guest.id;
        guest.close();
        ASSERT_TRUE(good->follow([&] { return good->slot(id).state == IVPCI_SLOT_EMPTY; })) << i;
    }
    auto last = member();
    ASSERT_TRUE(idle.introduce(4));
    ASSERT_TRUE(idle.follow([&] { return idle.peers[last->id].size() == 4; }));
    EXPECT_EQ(idle.peers.size(), 4U) << "the broker, good, last and itself";
    while (last->rung(3, milliseconds(0))) {
    }
    idle.ring(last->id, 3);
    EXPECT_TRUE(last->rung(3)) << "the present one's doorbell, not a former one's";
}

TEST_F(Members, JoinWithAnotherVersionIsRefusedAndLogged) {
    start();
    Client a(socket);
    ASSERT_TRUE(a.introduce(4));
    a.ctl().version = 7;
    a.ctl().vectors = 4;
    EXPECT_EQ(a.request(IVPCI_OP_JOIN), IVPCI_ACK_INVALID);
    EXPECT_EQ(a.own().state, IVPCI_SLOT_CONNECTED);
    EXPECT_NE(broker->err().find("another version"), std::string::npos);
}

TEST_F(Members, ManyRebootsLeakNothing) {
    start();
    auto watcher = member();
    for (int i = 0; i < 200; ++i) {
        auto guest = member();
        ASSERT_EQ(guest->request(IVPCI_OP_LEASE, 2), IVPCI_ACK_OK) << i;
        uint32_t id = guest->id;
        guest->close();
        ASSERT_TRUE(watcher->follow([&] { return watcher->slot(id).state == IVPCI_SLOT_EMPTY; }));
    }
    EXPECT_EQ(watcher->request(IVPCI_OP_LEASE, 1000), IVPCI_ACK_OK);
    EXPECT_EQ(watcher->own().chunks, watcher->layout.chunks);
}

}  // namespace
}  // namespace smc_steer::tests
