// SPDX-License-Identifier: Apache-2.0
// A broker of several regions: what the file says is what is there, and nothing is shared.
#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
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

// Asks the kernel for huge pages and gives them back; `reserved` says how many are free.
class HugePages {
public:
    explicit HugePages(int more) : before_(read_number("/proc/sys/vm/nr_hugepages")) {
        std::ofstream("/proc/sys/vm/nr_hugepages") << before_ + more << "\n";
    }
    HugePages(const HugePages&) = delete;
    HugePages& operator=(const HugePages&) = delete;
    ~HugePages() { std::ofstream("/proc/sys/vm/nr_hugepages") << before_ << "\n"; }
    [[nodiscard]] static int free() {
        std::ifstream info("/proc/meminfo");
        for (std::string line; std::getline(info, line);) {
            if (line.rfind("HugePages_Free:", 0) == 0) {
                return std::stoi(line.substr(line.find(':') + 1));
            }
        }
        return 0;
    }

private:
    static int read_number(const char* path) {
        int n = 0;
        std::ifstream(path) >> n;
        return n;
    }
    int before_;
};

constexpr const char* kHugeRegion = ", size: 32M, slots: 4, memory: hugetlb}\n";

// Where the kernel grants huge pages, two QEMUs map the region with them.
TEST_F(Groups, ARegionOfHugePages) {
    HugePages pages(16);
    if (HugePages::free() < 16) {
        return;  // refused here; what the broker says then is the next test's
    }
    serve("regions:\n  b: {socket: " + b + kHugeRegion);
    Client member(b);
    ASSERT_TRUE(member.introduce(4));
    EXPECT_EQ(member.join(), IVPCI_ACK_OK);
    std::vector<std::unique_ptr<Process>> qemus;
    for (const char* name : {"first", "second"}) {
        qemus.push_back(std::make_unique<Process>(
            std::vector<std::string>{"qemu-system-x86_64", "-machine", "q35,accel=tcg",
                                     "-nodefaults", "-display", "none", "-S", "-chardev",
                                     "socket,path=" + b + ",id=c", "-device",
                                     "ivshmem-doorbell,chardev=c,vectors=4"},
            dir, name));
    }
    ASSERT_TRUE(
        member.follow([&] { return member.peers[2].size() == 4 && member.peers[3].size() == 4; },
                      milliseconds(20000)));
    for (auto& qemu : qemus) {
        EXPECT_TRUE(eventually([&] {
            std::ifstream maps("/proc/" + std::to_string(qemu->pid()) + "/smaps");
            bool region = false;
            for (std::string line; std::getline(maps, line);) {
                region = region || line.find("ivpci-region") != std::string::npos;
                if (region && line.rfind("KernelPageSize:", 0) == 0) {
                    return line.find(" 2048 kB") != std::string::npos;
                }
            }
            return false;
        })) << qemu->err();
        EXPECT_EQ(qemu->err(), "");
    }
}

TEST_F(Groups, WithoutHugePagesThereIsOneLine) {
    std::string file =
        configure("regions:\n  b: {socket: " + b + ", size: 64G, slots: 4, memory: hugetlb}\n");
    auto process = launch({"--config", file}, "refused");
    EXPECT_EQ(process->wait(), 2);
    std::string said = process->err();
    EXPECT_NE(said.find("vm.nr_hugepages"), std::string::npos) << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

}  // namespace
}  // namespace smc_steer::tests
