// SPDX-License-Identifier: Apache-2.0
// A broker of several regions: what the file says is what is there, and nothing is shared.
#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <fstream>

#include "tests/broker/broker_fixture.h"

namespace smc_steer::tests {
namespace {

class Groups : public BrokerTest {
protected:
    std::string configure(const std::string& text) {
        std::string path = dir.path("broker.yaml");
        std::ofstream(path) << text;
        return path;
    }
    void serve(const std::string& text) {
        broker = launch({"--config", configure(text)}, "broker");
        ASSERT_TRUE(eventually([this] {
            return broker->err().find("region=b event=serving") != std::string::npos ||
                   !broker->running();
        })) << broker->err();
        ASSERT_TRUE(broker->running()) << broker->err();
    }
    std::string a = dir.path("a.sock"), b = dir.path("b.sock");
};

TEST_F(Groups, MembersOfDifferentRegionsShareNothing) {
    serve("regions:\n  a: {socket: " + a + ", size: 32M, slots: 4}\n  b: {socket: " + b +
          ", size: 64M, slots: 2, vectors: 2}\n");
    Client in_a(a);
    Client in_b(b);
    ASSERT_TRUE(in_a.introduce(4));
    ASSERT_TRUE(in_b.introduce(2));
    EXPECT_EQ(in_a.id, 1U);
    EXPECT_EQ(in_b.id, 1U);
    EXPECT_EQ(in_a.join(), IVPCI_ACK_OK);
    EXPECT_EQ(in_b.join(), IVPCI_ACK_OK);
    EXPECT_NE(std::memcmp(in_a.header().uuid, in_b.header().uuid, 16), 0);
    EXPECT_NE(in_a.own().gid, in_b.own().gid);
    EXPECT_EQ(in_a.layout.size, 32U << 20);
    EXPECT_EQ(in_b.layout.size, 64U << 20);
    struct stat first {
    }, second{};
    ASSERT_EQ(fstat(in_a.region_fd(), &first), 0);
    ASSERT_EQ(fstat(in_b.region_fd(), &second), 0);
    EXPECT_NE(first.st_ino, second.st_ino);
    EXPECT_EQ(in_a.peers.size(), 2U) << "the broker and itself";
    while (in_b.rung(0, milliseconds(0))) {
    }
    in_a.close();
    EXPECT_FALSE(in_b.rung(0, milliseconds(100)));
}

TEST_F(Groups, OwnerGroupAndModeOfTheSocket) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "only root can give a file away";
    }
    serve("regions:\n  a: {socket: " + a +
          ", owner: 107, group: nogroup, mode: 0620}\n  b: {socket: " + b + "}\n");
    struct stat st {};
    ASSERT_EQ(stat(a.c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, 107U);
    EXPECT_EQ(st.st_gid, getgrnam("nogroup")->gr_gid);
    EXPECT_EQ(st.st_mode & 07777, 0620U);
    ASSERT_EQ(stat(b.c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, geteuid());
    EXPECT_EQ(st.st_mode & 07777, 0600U);
}

TEST_F(Groups, AllowUidsTurnsOthersAway) {
    serve("regions:\n  a: {socket: " + a + ", allow_uids: [" + std::to_string(geteuid() + 1) +
          "]}\n  b: {socket: " + b + ", allow_uids: [" + std::to_string(geteuid()) + "]}\n");
    Client stranger(a);
    auto version = stranger.receive();
    auto id = stranger.receive();
    ASSERT_TRUE(version && id);
    EXPECT_EQ(id->value, -1);
    EXPECT_FALSE(stranger.receive());
    EXPECT_TRUE(
        eventually([this] { return broker->err().find("allow_uids") != std::string::npos; }));
    Client friendly(b);
    EXPECT_TRUE(friendly.introduce(4));
}

TEST_F(Groups, AMistakeIsOneLineAndChangesNothing) {
    std::string file = configure("regions:\n  a:\n    socket: " + a + "\n  b:\n    socket: " + b +
                                 "\n    size: 3M\n");
    auto process = launch({"--config", file}, "refused");
    EXPECT_EQ(process->wait(), 2);
    EXPECT_EQ(process->err(), "ivpci-broker: " + file +
                                  ":6: region b: size: 3M: a PCI BAR must be a power of two, as "
                                  "256M or 1G\n");
    struct stat st {};
    EXPECT_NE(stat(a.c_str(), &st), 0) << "the good region must not have been made either";
}

TEST_F(Groups, ASocketThatCannotBeMadeTakesTheOthersBack) {
    std::string file = configure("regions:\n  a: {socket: " + a +
                                 "}\n  b: {socket: " + dir.path("none/b.sock") + "}\n");
    auto process = launch({"--config", file}, "refused");
    EXPECT_EQ(process->wait(), 2);
    EXPECT_NE(process->err().find("No such file or directory"), std::string::npos);
    struct stat st {};
    EXPECT_NE(stat(a.c_str(), &st), 0);
}

TEST_F(Groups, HugePagesOrOneLine) {
    std::string file =
        configure("regions:\n  b: {socket: " + b + ", size: 32M, slots: 4, memory: hugetlb}\n");
    std::ifstream pages("/proc/sys/vm/nr_hugepages");
    int n = 0;
    pages >> n;
    if (n >= 16) {
        serve("regions:\n  b: {socket: " + b + ", size: 32M, slots: 4, memory: hugetlb}\n");
        Client member(b);
        EXPECT_TRUE(member.introduce(4));
        return;
    }
    auto process = launch({"--config", file}, "refused");
    EXPECT_EQ(process->wait(), 2);
    EXPECT_NE(process->err().find("vm.nr_hugepages"), std::string::npos) << process->err();
}

}  // namespace
}  // namespace smc_steer::tests
