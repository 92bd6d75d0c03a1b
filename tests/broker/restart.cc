// SPDX-License-Identifier: Apache-2.0
// kill -9 and a successor, with a descriptor store: nobody is lost, newcomers and old members reach
// each other.
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "tests/broker/broker_fixture.h"
#include "tests/broker/qmp.h"
#include "tests/broker/service_manager.h"

namespace smc_steer::tests {
namespace {

class Restart : public BrokerTest {
protected:
    void SetUp() override { start_broker(); }
    void TearDown() override {
        if (pid_ > 0) {
            kill_broker(SIGTERM);
        }
        if (HasFailure()) {
            std::fprintf(stderr, "the brokers said:\n%s", log().c_str());
        }
    }
    void start_broker() {
        pid_ = manager.start({BROKER_BINARY, "--socket", socket, "--size", "32M", "--slots", "4"},
                             dir.path("log"));
        ASSERT_GT(pid_, 0);
        ASSERT_TRUE(manager.ready()) << log();
    }
    void kill_broker(int number = SIGKILL) {
        ASSERT_EQ(kill(pid_, number), 0);
        ASSERT_EQ(waitpid(pid_, nullptr, 0), pid_);
        pid_ = 0;
        manager.listen();  // what it said last
    }
    void restart(int number = SIGKILL) {
        kill_broker(number);
        start_broker();
    }
    std::string log() {
        std::ostringstream text;
        text << std::ifstream(dir.path("log")).rdbuf();
        return text.str();
    }
    static void quieten(Client& client) {
        for (uint32_t v = 0; v < 4; ++v) {
            while (client.rung(v, milliseconds(0))) {
            }
        }
    }
    ServiceManager manager{dir};
    pid_t pid_ = 0;
};

TEST_F(Restart, OldAndNewMembersReachEachOther) {
    auto old = member();
    ASSERT_EQ(old->request(IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
    uint64_t gid = old->own().gid;
    quieten(*old);
    kill_broker();
    EXPECT_EQ(old->own().state, IVPCI_SLOT_LIVE) << "traffic goes on in the gap";
    start_broker();
    EXPECT_EQ(old->own().state, IVPCI_SLOT_LIVE);
    EXPECT_EQ(old->own().gid, gid);
    EXPECT_EQ(old->own().chunks, 2U);
    EXPECT_EQ(old->header().broker_pid, static_cast<uint32_t>(pid_));
    EXPECT_TRUE(old->rung(0)) << "look, there is a broker again";
    EXPECT_FALSE(old->receive(milliseconds(100))) << "nothing is said twice";

    auto fresh = member();
    EXPECT_EQ(fresh->id, 2U);
    EXPECT_EQ(std::memcmp(old->header().uuid, fresh->header().uuid, 16), 0);
    struct stat a {
    }, b{};
    ASSERT_EQ(fstat(old->region_fd(), &a), 0);
    ASSERT_EQ(fstat(fresh->region_fd(), &b), 0);
    EXPECT_EQ(a.st_ino, b.st_ino) << "the same memory";
    EXPECT_EQ(fresh->own().state, IVPCI_SLOT_LIVE);
    EXPECT_EQ(fresh->lease(0), ivpci_lease(old->id, 1));

    ASSERT_TRUE(old->follow([&] { return old->peers[2].size() == 4; }));
    quieten(*old);
    quieten(*fresh);
    for (uint32_t v = 0; v < 4; ++v) {
        fresh->ring(old->id, v);
        EXPECT_TRUE(old->rung(v)) << v;
        old->ring(fresh->id, v);
        EXPECT_TRUE(fresh->rung(v)) << v;
    }
    EXPECT_EQ(old->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK) << "its broker's doorbell works";
    EXPECT_EQ(fresh->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    EXPECT_EQ(fresh->own().chunks, 1U);
}

TEST_F(Restart, SystemctlRestartKeepsMembersToo) {
    auto old = member();
    restart(SIGTERM);
    EXPECT_EQ(old->own().state, IVPCI_SLOT_LIVE);
    EXPECT_NE(old->header().broker_pid, 0U);
    auto fresh = member();
    ASSERT_TRUE(old->follow([&] { return old->peers[2].size() == 4; }));
}

TEST_F(Restart, WhoConnectsInTheGapIsServedByTheSuccessor) {
    kill_broker();
    Client waiting(socket);  // the socket listens in the store
    start_broker();
    EXPECT_TRUE(waiting.introduce(4));
}

TEST_F(Restart, WhoGoesInTheGapIsMissedAndForgotten) {
    auto a = member();
    auto b = member();
    ASSERT_TRUE(a->follow([&] { return a->peers[2].size() == 4; }));
    kill_broker();
    size_t before = manager.kept();
    b->close();
    start_broker();
    EXPECT_TRUE(eventually([&] { return a->slot(2).state == IVPCI_SLOT_EMPTY; }));
    EXPECT_TRUE(eventually([&] { return manager.kept() == before - 1; }))
        << "its socket; the doorbells are the slot's";
}

TEST_F(Restart, TheStoreHoldsWhatIsThereAndNoMore) {
    size_t empty = manager.kept();
    EXPECT_EQ(empty, 4U) << "memory, ledger, listening socket, doorbell";
    for (int i = 0; i < 20; ++i) {
        auto guest = member();
        EXPECT_EQ(manager.kept(), empty + 5);
        guest->close();
        ASSERT_TRUE(eventually([&] { return manager.kept() == empty + 4; }))
            << "the slot's doorbells";
        if (i % 5 == 4) {
            restart();
        }
    }
}

// Twenty brokers, each killed at some moment while guests come, lease and go.
TEST_F(Restart, KilledAtAnyMoment) {
    auto steady = member();
    ASSERT_EQ(steady->request(IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
    for (int i = 0; i < 20; ++i) {
        auto victim = member();
        ASSERT_EQ(victim->request(IVPCI_OP_LEASE, 5), IVPCI_ACK_OK);
        // Its claims hold what it leaves behind: condemned, until we let go.
        steady->claim(victim->id, 3) = 7;
        victim->close();
        std::this_thread::sleep_for(std::chrono::microseconds(i * 37));
        kill_broker();
        steady->claim(victim->id, 3) = 0;
        start_broker();
        ASSERT_EQ(steady->own().state, IVPCI_SLOT_LIVE) << i;
        ASSERT_TRUE(eventually([&] {
            uint32_t leased = 0;
            for (uint32_t c = 0; c < steady->layout.chunks; ++c) {
                leased += steady->lease(c) != 0 ? 1 : 0;
            }
            return leased == 2;
        })) << i
            << ": what the dead one held is free again";
    }
    EXPECT_EQ(steady->request(IVPCI_OP_LEASE, 1000), IVPCI_ACK_OK);
    EXPECT_EQ(steady->own().chunks, steady->layout.chunks) << "nothing was lost, nothing twice";
}

TEST_F(Restart, CondemnedChunksAreTakenBackByTheSuccessorOnce) {
    auto owner = member();
    auto writer = member();
    ASSERT_EQ(owner->request(IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    writer->claim(owner->id, 17) = 99;
    owner->close();
    ASSERT_TRUE(eventually([&] { return writer->lease(0) == ivpci_lease(1, 0); }));
    restart();
    std::this_thread::sleep_for(milliseconds(350));
    EXPECT_EQ(writer->lease(0), ivpci_lease(1, 0)) << "still claimed";
    writer->claim(1, 17) = 0;
    EXPECT_TRUE(eventually([&] { return writer->lease(0) == 0; }));
    EXPECT_EQ(writer->request(IVPCI_OP_LEASE, 1000), IVPCI_ACK_OK);
    EXPECT_EQ(writer->own().chunks, writer->layout.chunks);
}

TEST_F(Restart, ARealQemuStaysAMember) {
    auto watcher = member();
    Process qemu({"qemu-system-x86_64", "-machine", "q35,accel=tcg", "-nodefaults", "-display",
                  "none", "-S", "-qmp", "unix:" + dir.path("qmp") + ",server=on,wait=off",
                  "-chardev", "socket,path=" + socket + ",id=c", "-device",
                  "ivshmem-doorbell,chardev=c,addr=5,vectors=4"},
                 dir, "qemu");
    Qmp qmp;
    ASSERT_TRUE(qmp.connect(dir.path("qmp"))) << qemu.err();
    ASSERT_TRUE(watcher->follow([&] { return watcher->peers[2].size() == 4; }));
    restart();
    EXPECT_EQ(watcher->slot(2).state, IVPCI_SLOT_CONNECTED);
    auto fresh = member();
    EXPECT_EQ(fresh->id, 3U);
    EXPECT_EQ(fresh->peers[2].size(), 4U) << "the newcomer has QEMU's doorbells";
    EXPECT_EQ(qmp.command({{"execute", "query-status"}})["status"], "prelaunch");
    // QEMU's chardev is still connected, as its own words say.
    bool connected = false;
    for (const auto& chardev : qmp.command({{"execute", "query-chardev"}})) {
        connected = connected || (chardev["label"] == "c" &&
                                  chardev["filename"].get<std::string>().find("disconnected") ==
                                      std::string::npos);
    }
    EXPECT_TRUE(connected);
    EXPECT_EQ(qemu.err(), "");
    qemu.signal(SIGKILL);
    EXPECT_TRUE(eventually([&] { return watcher->slot(2).state == IVPCI_SLOT_EMPTY; }));
}

}  // namespace
}  // namespace smc_steer::tests
