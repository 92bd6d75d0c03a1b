// SPDX-License-Identifier: Apache-2.0
// Debian's unmodified QEMU as the client: the device is realized, the region is its BAR 2, its
// death is noticed. (Doorbells through a running guest are the VM tests' business.)
#include <array>

#include "tests/broker/broker_fixture.h"
#include "tests/broker/qmp.h"

namespace smc_steer::tests {
namespace {

class Qemu : public BrokerTest {
protected:
    std::unique_ptr<Process> launch_qemu(const std::string& name, int vectors = 4) {
        return std::make_unique<Process>(
            std::vector<std::string>{
                "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-nodefaults", "-display",
                "none", "-S", "-qmp", "unix:" + dir.path(name + ".qmp") + ",server=on,wait=off",
                "-chardev", "socket,path=" + socket + ",id=c", "-device",
                "ivshmem-doorbell,chardev=c,addr=5,vectors=" + std::to_string(vectors)},
            dir, name);
    }
};

TEST_F(Qemu, RealizesTheDeviceAndIsMissedWhenKilled) {
    start();
    auto watcher = member();
    auto qemu = launch_qemu("qemu");
    Qmp qmp;
    ASSERT_TRUE(qmp.connect(dir.path("qemu.qmp"))) << qemu->err();
    EXPECT_EQ(watcher->slot(2).state, IVPCI_SLOT_CONNECTED);
    EXPECT_EQ(qmp.command({{"execute", "query-status"}})["status"], "prelaunch");

    json pci = qmp.command({{"execute", "query-pci"}});
    bool found = false;
    for (const json& device : pci[0]["devices"]) {
        if (device["id"]["vendor"] == 0x1af4 && device["id"]["device"] == 0x1110) {
            found = true;
            for (const json& bar : device["regions"]) {
                if (bar["bar"] == 2) {
                    EXPECT_EQ(bar["size"], 32U << 20);
                }
            }
        }
    }
    EXPECT_TRUE(found) << pci.dump();
    EXPECT_EQ(qemu->err(), "") << "QEMU had nothing to complain about";

    ASSERT_TRUE(watcher->follow([&] { return watcher->peers.count(2) == 1; }));
    qemu->signal(SIGKILL);
    EXPECT_TRUE(
        eventually([&] { return watcher->slot(2).state == IVPCI_SLOT_EMPTY; }, milliseconds(1000)));
}

TEST_F(Qemu, FewerVectorsThanTheBrokersAreFine) {
    start();
    auto watcher = member();
    auto qemu = launch_qemu("qemu", 1);
    Qmp qmp;
    ASSERT_TRUE(qmp.connect(dir.path("qemu.qmp"))) << qemu->err();
    EXPECT_EQ(watcher->slot(2).state, IVPCI_SLOT_CONNECTED);
    EXPECT_FALSE(qmp.command({{"execute", "query-status"}}).is_null());
}

TEST_F(Qemu, IsTurnedAwayFromAFullRegionAndSaysSo) {
    start();
    std::array<std::unique_ptr<Client>, 4> clients;
    for (auto& client : clients) {
        client = member();
    }
    auto qemu = launch_qemu("qemu");
    EXPECT_EQ(qemu->wait(), 1);
    EXPECT_NE(qemu->err().find("server sent invalid ID"), std::string::npos) << qemu->err();
}

}  // namespace
}  // namespace smc_steer::tests
