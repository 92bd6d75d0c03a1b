// SPDX-License-Identifier: Apache-2.0
// Starting and ending: bad input is one line, exit code 2 and no change; the socket is there while
// the broker is, and only then.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/broker/broker_fixture.h"

namespace smc_steer::tests {
namespace {

namespace fs = std::filesystem;

class CommandLine : public BrokerTest {
protected:
    void refused(std::vector<std::string> arguments, const std::string& about) {
        auto process = launch(std::move(arguments), "refused");
        EXPECT_EQ(process->wait(), 2);
        std::string said = process->err();
        EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
        EXPECT_NE(said.find(about), std::string::npos) << said;
        EXPECT_EQ(process->out(), "");
    }
    // A socket file without anybody behind it.
    void make_stale() {
        UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket.copy(address.sun_path, sizeof(address.sun_path) - 1);
        ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    }
};

TEST_F(CommandLine, BadFlags) {
    for (const auto& [flags, about] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"--bogus"}, "--bogus"},
             {{"--size"}, "--size"},
             {{"--size", "3M"}, "power of two"},
             {{"--size", "1M"}, "at least 64M"},
             {{"--size", "128G"}, "at most 64G"},
             {{"--size", "many"}, "--size"},
             {{"--slots", "0"}, "--slots"},
             {{"--slots", "64"}, "--slots"},
             {{"--vectors", "0"}, "--vectors"},
             {{"--vectors", "17"}, "--vectors"},
             {{"--mode", "rwx"}, "--mode"},
             {{"--log-level", "loud"}, "--log-level"},
             {{"--pid-file", dir.path("none/pid")}, "--pid-file"},
             {{"surplus"}, "surplus"},
         }) {
        std::vector<std::string> arguments{"--socket", socket};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        refused(arguments, about);
        EXPECT_FALSE(fs::exists(socket)) << flags.front();
    }
    refused({}, "--socket");
}

TEST_F(CommandLine, HelpAndVersion) {
    auto help = launch({"--help"}, "help");
    EXPECT_EQ(help->wait(), 0);
    EXPECT_NE(help->out().find("ivshmem-doorbell"), std::string::npos);
    auto version = launch({"--version"}, "version");
    EXPECT_EQ(version->wait(), 0);
    EXPECT_EQ(version->out().rfind("ivpci-broker ", 0), 0U);
}

TEST_F(CommandLine, PathThatCannotBe) {
    refused({"--socket", dir.path("none/sock")}, "No such file or directory");
    refused({"--socket", dir.path(std::string(108, 'x'))}, "107 bytes");
    refused({"--socket", ""}, "--socket");
}

TEST_F(CommandLine, PathThatIsNoSocket) {
    std::ofstream(socket) << "precious";
    refused({"--socket", socket}, "not a socket");
    std::string kept;
    std::ifstream(socket) >> kept;
    EXPECT_EQ(kept, "precious");
}

TEST_F(CommandLine, TakenSocket) {
    start();
    refused({"--socket", socket}, "taken");
    EXPECT_TRUE(broker->running());
    member();
}

TEST_F(CommandLine, StaleSocketIsReplaced) {
    make_stale();
    start();
    member();
}

TEST_F(CommandLine, OfManyAtOnceOneServes) {
    make_stale();
    std::vector<std::unique_ptr<Process>> brokers;
    for (int i = 0; i < 6; ++i) {
        brokers.push_back(launch({"--socket", socket}, "racer" + std::to_string(i)));
    }
    EXPECT_TRUE(eventually([&] {
        return std::count_if(brokers.begin(), brokers.end(),
                             [](auto& b) { return b->running(); }) == 1;
    }));
    for (auto& racer : brokers) {
        if (racer->running()) {
            member();
        } else {
            EXPECT_EQ(racer->wait(), 2) << racer->err();
        }
    }
}

TEST_F(CommandLine, ModeIsTheSocketsMode) {
    start({"--mode", "0660"});
    EXPECT_EQ(fs::status(socket).permissions(), static_cast<fs::perms>(0660));
}

TEST_F(CommandLine, PidFile) {
    start({"--pid-file", dir.path("pid")});
    pid_t pid = 0;
    std::ifstream(dir.path("pid")) >> pid;
    EXPECT_EQ(pid, broker->pid());
    broker->signal(SIGTERM);
    EXPECT_EQ(broker->wait(), 0);
    EXPECT_FALSE(fs::exists(dir.path("pid")));
}

TEST_F(CommandLine, EndsCleanlyOnSignals) {
    for (int number : {SIGTERM, SIGINT}) {
        start();
        auto client = member();
        EXPECT_EQ(client->header().broker_pid, static_cast<uint32_t>(broker->pid()));
        while (client->rung(0, milliseconds(0))) {
        }
        broker->signal(number);
        EXPECT_EQ(broker->wait(), 0);
        EXPECT_FALSE(fs::exists(socket));
        EXPECT_EQ(client->header().broker_pid, 0U);
        EXPECT_TRUE(client->rung(0)) << "goodbye rings";
        EXPECT_EQ(client->own().state, IVPCI_SLOT_LIVE) << "traffic goes on without a broker";
    }
}

TEST_F(CommandLine, TellsSystemd) {
    std::string path = dir.path("notify");
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    timeval limit{5, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));

    ASSERT_EQ(setenv("NOTIFY_SOCKET", path.c_str(), 1), 0);
    start();
    unsetenv("NOTIFY_SOCKET");
    std::string all;
    char buffer[512];
    while (all.find("READY=1") == std::string::npos) {
        ssize_t n = recv(fd.get(), buffer, sizeof(buffer), 0);
        ASSERT_GT(n, 0) << "came so far: " << all;
        all.append(buffer, static_cast<size_t>(n)).append("\n");
    }
    EXPECT_NE(all.find("STATUS=0 of 4 slots"), std::string::npos) << all;
}

}  // namespace
}  // namespace smc_steer::tests
