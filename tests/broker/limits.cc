// SPDX-License-Identifier: Apache-2.0
// Clients that are not what they should be cost nothing but themselves.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "tests/broker/broker_fixture.h"

namespace smc_steer::tests {
namespace {

// The doorbells of a slot stay when it was used once: 16 slots of 4 vectors at most.
constexpr size_t kDoorbells = 64;

class Limits : public BrokerTest {
protected:
    size_t descriptors() {
        std::filesystem::directory_iterator fds("/proc/" + std::to_string(broker->pid()) + "/fd");
        return static_cast<size_t>(std::distance(fds, std::filesystem::directory_iterator()));
    }
    size_t resident_kib() {
        std::ifstream file("/proc/" + std::to_string(broker->pid()) + "/status");
        for (std::string word; file >> word;) {
            if (word == "VmRSS:") {
                size_t kib = 0;
                file >> kib;
                return kib;
            }
        }
        return 0;
    }
    // Runs `act` in a process of its own, which then stays until it is ended.
    template <class Act>
    pid_t fork_client(Act act) {
        std::string done = dir.path("done" + std::to_string(++forks_));
        pid_t pid = fork();
        if (pid == 0) {
            // A test that failed half-way leaves nobody who keeps its output open.
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            Client client(socket);
            act(client);
            std::ofstream(done) << "\n";
            pause();
            _exit(0);
        }
        EXPECT_TRUE(eventually([&] { return std::filesystem::exists(done); }));
        return pid;
    }
    static void end(pid_t pid) {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
    }

private:
    int forks_ = 0;
};

TEST_F(Limits, TenThousandConnectionsInALoop) {
    start();
    auto good = member();
    { Client warm(socket); }
    ASSERT_TRUE(eventually([&] { return good->slot(2).state == IVPCI_SLOT_EMPTY; }));
    size_t fds = descriptors();
    size_t rss = resident_kib();
    for (int i = 0; i < 10000; ++i) {
        Client hasty(socket);
        if (i % 3 == 0) {
            static_cast<void>(hasty.receive());  // leaves in the middle of the handshake
        }
        if (i % 1000 == 0) {
            auto since = std::chrono::steady_clock::now();
            ASSERT_EQ(good->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK) << i;
            ASSERT_LT(std::chrono::steady_clock::now() - since, std::chrono::seconds(1)) << i;
        }
        while (good->receive(milliseconds(0))) {
        }
    }
    EXPECT_TRUE(eventually([&] { return descriptors() <= fds + kDoorbells; }))
        << descriptors() << " " << fds;
    EXPECT_LT(resident_kib(), rss + 4096);
    EXPECT_LT(broker->err().size(), 200000U) << "nor does it fill the log";
    EXPECT_EQ(member()->own().state, IVPCI_SLOT_LIVE);
}

TEST_F(Limits, GarbageOfAnyLength) {
    start();
    auto good = member();
    size_t fds = descriptors();
    uint32_t gone = 0;
    auto times = [&](const std::string& event) {
        std::string said = broker->err();
        uint32_t n = 0;
        for (size_t at = 0; (at = said.find("event=" + event, at)) != std::string::npos; ++at) {
            ++n;
        }
        return n;
    };
    for (size_t length : {1U, 7U, 8U, 9U, 4096U, 100000U}) {
        pid_t bad = fork_client([&](Client& client) {
            std::string bytes(length, static_cast<char>(length));
            fcntl(client.socket(), F_SETFL, O_NONBLOCK);
            static_cast<void>(send(client.socket(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
        });
        ++gone;
        // Who ends before the broker has met it was never there.
        EXPECT_TRUE(eventually([&] { return times("lost") == gone; })) << length;
        EXPECT_TRUE(eventually([&] { return good->slot(2).state == IVPCI_SLOT_EMPTY; }));
        end(bad);
        EXPECT_TRUE(eventually([&] { return times("process-gone") == gone; })) << length;
    }
    EXPECT_TRUE(eventually([&] { return descriptors() <= fds + kDoorbells; }))
        << descriptors() << " " << fds;
    EXPECT_EQ(good->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
}

// It has the memory mapped and nobody can take it away: as long as the process lives, its slot and
// what it held are nobody else's.
TEST_F(Limits, AViolatorsSlotWaitsForItsProcess) {
    start();
    auto good = member();
    pid_t bad = fork_client([](Client& client) {
        if (!client.introduce(4) || client.join() != uint32_t{IVPCI_ACK_OK} ||
            client.request(IVPCI_OP_LEASE, 2) != uint32_t{IVPCI_ACK_OK}) {
            _exit(1);
        }
        static_cast<void>(send(client.socket(), "x", 1, MSG_NOSIGNAL));
    });
    ASSERT_TRUE(eventually([&] { return good->slot(2).state == IVPCI_SLOT_EMPTY; }));
    EXPECT_TRUE(eventually([&] { return good->lease(0) == ivpci_lease(2, 0); }));
    auto third = member();
    auto fourth = member();
    EXPECT_EQ(third->id, 3U);
    EXPECT_EQ(fourth->id, 4U);
    Client none(socket);
    auto version = none.receive();
    auto id = none.receive();
    ASSERT_TRUE(version && id);
    EXPECT_EQ(id->value, -1) << "the region is full";
    std::this_thread::sleep_for(milliseconds(300));
    EXPECT_EQ(good->lease(0), ivpci_lease(2, 0));
    end(bad);
    EXPECT_TRUE(eventually([&] { return good->lease(0) == 0; }));
    EXPECT_EQ(member()->id, 2U);
}

TEST_F(Limits, AViolatorDoesNotGetASecondSlot) {
    start();
    auto good = member();
    pid_t bad = fork_client([&](Client& client) {
        static_cast<void>(send(client.socket(), "x", 1, MSG_NOSIGNAL));
        while (client.receive()) {
        }
        for (int i = 0; i < 50; ++i) {
            Client again(socket);
            static_cast<void>(send(again.socket(), "x", 1, MSG_NOSIGNAL));
            while (again.receive()) {
            }
        }
    });
    auto another = member();
    EXPECT_EQ(another->id, 3U) << "it has slot 2 and no other";
    end(bad);
}

// What it asks for is valid, each time. Others are not woken for each, nor is the log filled; and
// whatever it did last, they are told.
TEST_F(Limits, AMemberThatLeavesAndJoinsInALoop) {
    start();
    auto good = member();
    auto restless = member();
    auto bell = [&] {
        eventfd_t count = 0;
        int fd = good->peers[good->id][IVPCI_VECTOR_CONTROL].get();
        return eventfd_read(fd, &count) == 0 ? count : 0;
    };
    bell();
    auto began = std::chrono::steady_clock::now();
    eventfd_t rung = 0;
    for (int i = 0; i < 500; ++i) {
        ASSERT_EQ(restless->request(IVPCI_OP_LEAVE), IVPCI_ACK_OK) << i;
        ASSERT_EQ(restless->request(IVPCI_OP_JOIN), IVPCI_ACK_OK) << i;
        rung += bell();
    }
    auto tenths = (std::chrono::steady_clock::now() - began) / milliseconds(100);
    // At once, earned since, and late ones.
    EXPECT_LE(rung, 8U + static_cast<eventfd_t>(2 * tenths + 2));
    ASSERT_EQ(restless->request(IVPCI_OP_LEAVE), IVPCI_ACK_OK);
    bell();
    ASSERT_EQ(restless->request(IVPCI_OP_JOIN), IVPCI_ACK_OK);
    EXPECT_TRUE(good->rung(IVPCI_VECTOR_CONTROL)) << "the last change";
    std::string said = broker->err();
    EXPECT_LE(std::count(said.begin(), said.end(), '\n'), 60 + 2 * tenths / 10) << said;
}

// Whoever has an eventfd can fill its counter and take O_NONBLOCK away: a plain write would then
// stop the broker for good.
TEST_F(Limits, ADoorbellMadeToBlockStopsNobody) {
    start();
    auto good = member();
    auto bad = member();
    auto jam = [](int fd) {
        ASSERT_EQ(fcntl(fd, F_SETFL, 0), 0);
        ASSERT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        eventfd_t ignored = 0;
        fcntl(fd, F_SETFL, O_NONBLOCK);
        eventfd_read(fd, &ignored);
        ASSERT_EQ(eventfd_write(fd, UINT64_MAX - 1), 0);
        ASSERT_EQ(fcntl(fd, F_SETFL, 0), 0);
    };
    jam(bad->peers[bad->id][0].get());
    // The broker's own, drained and blocking: it must not wait in read() either.
    ASSERT_EQ(fcntl(bad->peers[0][0].get(), F_SETFL, 0), 0);
    for (int i = 0; i < 20; ++i) {
        auto since = std::chrono::steady_clock::now();
        ASSERT_EQ(good->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK) << i;
        ASSERT_LT(std::chrono::steady_clock::now() - since, std::chrono::milliseconds(1500)) << i;
        auto guest = member();  // rings everybody
        uint32_t id = guest->id;
        guest->close();
        ASSERT_TRUE(eventually([&] { return good->slot(id).state == IVPCI_SLOT_EMPTY; })) << i;
    }
}

}  // namespace
}  // namespace smc_steer::tests
