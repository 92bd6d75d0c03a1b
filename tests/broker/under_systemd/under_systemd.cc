// SPDX-License-Identifier: Apache-2.0
// The broker as a service of a real systemd: whatever ends it, its successor has the same members.
// Runs as root where ivpci-broker.service is active, with a region at the socket of the example.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tests/broker/client.h"

namespace smc_steer::tests {
namespace {

constexpr const char* kSocket = "/run/ivpci/blue.sock";
constexpr milliseconds kPatience{20000};

class UnderSystemd : public testing::Test {
protected:
    static std::unique_ptr<Client> member() {
        auto client = std::make_unique<Client>(kSocket);
        EXPECT_TRUE(client->introduce(4));
        EXPECT_EQ(client->join(), IVPCI_ACK_OK);
        return client;
    }
    static void run(const std::string& command) {
        ASSERT_EQ(std::system(command.c_str()), 0) << command;
    }
    static bool same_memory(const Client& a, const Client& b) {
        struct stat of_a {};
        struct stat of_b {};
        return fstat(a.region_fd(), &of_a) == 0 && fstat(b.region_fd(), &of_b) == 0 &&
               of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
    }
    static void expect_reach(Client& a, Client& b) {
        for (uint32_t v = 1; v < 4; ++v) {
            a.ring(b.id, v);
            EXPECT_TRUE(b.rung(v)) << a.id << " rings " << b.id << " on vector " << v;
            b.ring(a.id, v);
            EXPECT_TRUE(a.rung(v)) << b.id << " rings " << a.id << " on vector " << v;
        }
    }
    // `end` ends the broker somehow; systemd starts the next one.
    static void expect_nobody_lost(const std::function<void()>& end) {
        auto old = member();
        ASSERT_EQ(old->request(IVPCI_OP_LEASE, 2), IVPCI_ACK_OK);
        const uint64_t gid = old->own().gid;
        const uint32_t first = old->header().broker_pid;
        ASSERT_NE(first, 0U);
        end();
        // A successor writes its pid before it serves, and goes on counting.
        ASSERT_TRUE(eventually(
            [&] {
                uint32_t pid = old->header().broker_pid;
                return pid != 0 && pid != first;
            },
            kPatience));
        auto beat = old->header().broker_heartbeat;
        ASSERT_TRUE(eventually([&] { return old->header().broker_heartbeat > beat; }, kPatience));
        EXPECT_EQ(old->own().state, IVPCI_SLOT_LIVE);
        EXPECT_EQ(old->own().gid, gid);
        EXPECT_EQ(old->own().chunks, 2U);

        auto fresh = member();
        EXPECT_TRUE(same_memory(*old, *fresh));
        EXPECT_EQ(old->own().era, fresh->own().era);
        ASSERT_TRUE(old->follow([&] { return old->peers[fresh->id].size() == 4; }));
        expect_reach(*old, *fresh);
        EXPECT_EQ(old->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
        EXPECT_EQ(old->own().chunks, 3U);
    }
};

TEST_F(UnderSystemd, Restart) {
    expect_nobody_lost([] { run("systemctl restart ivpci-broker"); });
}

TEST_F(UnderSystemd, Kill) {
    expect_nobody_lost([] { run("systemctl kill --kill-who=main -s KILL ivpci-broker"); });
}

// Stopped, it does not feed the watchdog.
TEST_F(UnderSystemd, Hang) {
    expect_nobody_lost([] { run("systemctl kill --kill-who=main -s STOP ivpci-broker"); });
}

// What stop and start do is what the operator asked for: the store is emptied.
TEST_F(UnderSystemd, StopEndsTheRegion) {
    auto old = member();
    run("systemctl stop ivpci-broker");
    EXPECT_EQ(old->header().broker_pid, 0U);
    run("systemctl start ivpci-broker");
    auto fresh = member();
    EXPECT_FALSE(same_memory(*old, *fresh));
    EXPECT_EQ(fresh->id, 1U);
}

}  // namespace
}  // namespace smc_steer::tests
