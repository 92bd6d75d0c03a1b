// SPDX-License-Identifier: Apache-2.0
// The examples in deploy/ are what works: they are read from there, with the paths put in.
#include <fstream>
#include <sstream>

#include "tests/broker/broker_fixture.h"
#include "tests/broker/qmp.h"

namespace smc_steer::tests {
namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from << " is not in the example";
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string example(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(std::string(SOURCE_DIR "/deploy/") + name).rdbuf();
    return text.str();
}

using Deployed = BrokerTest;

TEST_F(Deployed, QemuStartsWithTheExamplesArgumentsAgainstTheExamplesRegion) {
    std::string file = dir.path("broker.yaml");
    std::ofstream(file) << replaced(example("systemd/ivpci-broker.yaml"), "/run/ivpci/blue.sock",
                                    socket);
    broker = launch({"--config", file}, "broker");
    ASSERT_TRUE(eventually([this] {
        return broker->err().find("serving") != std::string::npos || !broker->running();
    }));
    ASSERT_TRUE(broker->running()) << broker->err();
    Client watcher(socket);
    ASSERT_TRUE(watcher.introduce(4));

    std::vector<std::string> command = {"qemu-system-x86_64",
                                        "-machine",
                                        "q35,accel=tcg",
                                        "-nodefaults",
                                        "-display",
                                        "none",
                                        "-S",
                                        "-qmp",
                                        "unix:" + dir.path("qmp") + ",server=on,wait=off"};
    std::istringstream lines(
        replaced(example("qemu/ivshmem.args"), "/run/ivpci/blue.sock", socket));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        for (std::string word; words >> word;) {
            command.push_back(word);
        }
    }
    Process qemu(command, dir, "qemu");
    Qmp qmp;
    ASSERT_TRUE(qmp.connect(dir.path("qmp"))) << qemu.err();
    EXPECT_TRUE(watcher.follow([&] { return watcher.peers[2].size() == 4; }));
    EXPECT_EQ(qemu.err(), "");
}

}  // namespace
}  // namespace smc_steer::tests
