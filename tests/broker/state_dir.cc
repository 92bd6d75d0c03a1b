// SPDX-License-Identifier: Apache-2.0
// kill -9 and a successor without a service manager: the memory is in a directory, the connections
// are gone. Old members keep what they have; they and newcomers are told apart by their eras.
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/broker/broker_fixture.h"

namespace smc_steer::tests {
namespace {

namespace fs = std::filesystem;

class StateDir : public BrokerTest {
protected:
    void SetUp() override {
        std::string pattern = "/dev/shm/ivpci-test-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr) << "these tests need a tmpfs at /dev/shm";
        state = pattern;
    }
    void TearDown() override {
        BrokerTest::TearDown();
        fs::remove_all(state);
    }
    void serve() { start({"--state-dir", state}); }
    void restart() {
        broker->signal(SIGKILL);
        EXPECT_EQ(broker->wait(), 128 + SIGKILL);
        serve();
    }
    // A member in a process of its own, whose driver beats while `beat` says so.
    pid_t fork_member(const std::string& ready) {
        pid_t pid = fork();
        if (pid == 0) {
            Client client(socket);
            if (!client.introduce(4) || client.join() != uint32_t{IVPCI_ACK_OK} ||
                client.request(IVPCI_OP_LEASE, 2) != uint32_t{IVPCI_ACK_OK}) {
                _exit(1);
            }
            std::ofstream(ready) << "\n";
            for (uint32_t n = 1;; ++n) {
                client.ctl().heartbeat = n;
                usleep(300000);
            }
        }
        EXPECT_TRUE(eventually([&] { return fs::exists(ready); }));
        return pid;
    }
    static void end(pid_t pid) {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
    }
    std::string state;
};

TEST_F(StateDir, TheSameRegionInAnotherEra) {
    serve();
    pid_t old = fork_member(dir.path("ready"));
    restart();
    Client fresh(socket);
    ASSERT_TRUE(fresh.introduce(4));
    EXPECT_EQ(fresh.id, 2U) << "slot 1 is taken";
    EXPECT_EQ(fresh.slot(1).state, IVPCI_SLOT_LIVE);
    EXPECT_EQ(fresh.lease(0), ivpci_lease(1, 1));
    EXPECT_EQ(fresh.peers.count(1), 0U) << "whose doorbells are gone is not announced";
    EXPECT_EQ(fresh.slot(1).era, 0U);
    EXPECT_EQ(fresh.own().era, 1U) << "neither can ring the other, and both see it";
    EXPECT_EQ(fresh.header().era, 1U);
    EXPECT_EQ(fresh.join(), IVPCI_ACK_OK);
    EXPECT_EQ(fresh.slot(1).state, IVPCI_SLOT_LIVE);

    // Its process ends: at once and exactly, not by silence.
    end(old);
    EXPECT_TRUE(
        eventually([&] { return fresh.slot(1).state == IVPCI_SLOT_EMPTY; }, milliseconds(2000)));
    EXPECT_EQ(fresh.lease(0), 0U);
    EXPECT_EQ(fresh.request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
    auto next = member();
    EXPECT_EQ(next->id, 1U);
    EXPECT_EQ(next->own().generation, 2U);
    EXPECT_EQ(next->own().era, fresh.own().era);
}

// Its doorbell for the broker went with the old one: the broker looks.
TEST_F(StateDir, AnOldMemberIsAnsweredWithoutADoorbell) {
    serve();
    auto old = member();
    restart();
    auto fastest = std::chrono::steady_clock::duration::max();
    for (uint32_t chunk = 0; chunk < 4; ++chunk) {
        auto before = std::chrono::steady_clock::now();
        EXPECT_EQ(old->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
        // One that comes just after the broker's look waits for the next.
        fastest =
            chunk == 0 ? fastest : std::min(fastest, std::chrono::steady_clock::now() - before);
        EXPECT_EQ(old->lease(chunk), ivpci_lease(1, 1));
    }
    EXPECT_LT(fastest, milliseconds(500)) << "a driver waits no longer";
    EXPECT_EQ(old->request(IVPCI_OP_LEAVE), IVPCI_ACK_OK);
    EXPECT_EQ(old->join(), IVPCI_ACK_OK);
    EXPECT_EQ(old->own().era, 0U);
}

TEST_F(StateDir, ASilentOldMemberIsDeadAfterTenSecondsButItsMemoryWaitsForItsProcess) {
    serve();
    pid_t old = fork_member(dir.path("ready"));
    restart();
    Client fresh(socket);
    ASSERT_TRUE(fresh.introduce(4));
    std::this_thread::sleep_for(milliseconds(3000));
    EXPECT_EQ(fresh.slot(1).state, IVPCI_SLOT_LIVE);
    kill(old, SIGSTOP);
    auto since = std::chrono::steady_clock::now();
    EXPECT_TRUE(
        eventually([&] { return fresh.slot(1).state == IVPCI_SLOT_EMPTY; }, milliseconds(14000)));
    auto took = std::chrono::steady_clock::now() - since;
    EXPECT_GT(took, std::chrono::milliseconds(8500));
    EXPECT_EQ(fresh.lease(0), ivpci_lease(1, 0)) << "condemned: it may go on and write";
    EXPECT_EQ(fresh.join(), IVPCI_ACK_OK);
    auto next = member();
    EXPECT_EQ(next->id, 3U) << "slot 1 is held";
    end(old);
    EXPECT_TRUE(eventually([&] { return fresh.lease(0) == 0; }));
}

TEST_F(StateDir, DeathInTheGapIsSeen) {
    serve();
    pid_t old = fork_member(dir.path("ready"));
    broker->signal(SIGKILL);
    broker->wait();
    end(old);
    serve();
    Client fresh(socket);
    ASSERT_TRUE(fresh.introduce(4));
    EXPECT_EQ(fresh.id, 1U);
    EXPECT_EQ(fresh.lease(0), 0U);
    EXPECT_EQ(fresh.join(), IVPCI_ACK_OK);
    EXPECT_EQ(fresh.own().generation, 2U);
}

TEST_F(StateDir, FilesAreTheBrokersAlone) {
    serve();
    for (const char* name : {"default.memory", "default.ledger"}) {
        struct stat st {};
        ASSERT_EQ(stat((state + "/" + name).c_str(), &st), 0) << name;
        EXPECT_EQ(st.st_mode & 07777, 0600U);
    }
    auto second = launch(
        {"--socket", dir.path("other"), "--size", "32M", "--slots", "4", "--state-dir", state},
        "second");
    EXPECT_EQ(second->wait(), 2);
    EXPECT_NE(second->err().find("another broker serves it"), std::string::npos) << second->err();
}

TEST_F(StateDir, WhatDoesNotFitIsRefusedAndKept) {
    serve();
    auto a = member();
    broker->signal(SIGKILL);
    broker->wait();
    auto other = launch({"--socket", socket, "--size", "64M", "--slots", "4", "--state-dir", state},
                        "other");
    EXPECT_EQ(other->wait(), 2);
    std::string said = other->err();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_EQ(a->own().state, IVPCI_SLOT_LIVE);
    auto disk = launch({"--socket", socket, "--state-dir", "/etc"}, "disk");
    EXPECT_EQ(disk->wait(), 2);
    EXPECT_NE(disk->err().find("tmpfs"), std::string::npos) << disk->err();
}

}  // namespace
}  // namespace smc_steer::tests
