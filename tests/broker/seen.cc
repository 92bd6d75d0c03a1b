// SPDX-License-Identifier: Apache-2.0
// The broker looked at: status for people, for programs, for Prometheus.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "tests/broker/broker_fixture.h"

namespace smc_steer::tests {
namespace {

using nlohmann::json;

class Seen : public BrokerTest {
protected:
    std::string status(std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"status", "--control", control});
        auto process = launch(std::move(more), "status");
        EXPECT_EQ(process->wait(), 0) << process->err();
        return process->out();
    }
    static std::string get(uint16_t port, const std::string& request) {
        UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        timeval limit{5, 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        EXPECT_GT(send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
        std::string answer;
        char buffer[4096];
        for (ssize_t n = 0; (n = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;) {
            answer.append(buffer, static_cast<size_t>(n));
        }
        return answer;
    }
    // A port that was free a moment ago.
    static uint16_t free_port() {
        UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(address);
        EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        return ntohs(address.sin_port);
    }
    std::string control = dir.path("control");
};

TEST_F(Seen, StatusTellsWhoIsThereAndWhatTheyHold) {
    start({"--control", control});
    auto a = member();
    auto b = member();
    ASSERT_EQ(a->request(IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    b->claim(a->id, 1) = 5;
    json region = json::parse(status({"--json"}))["regions"][0];
    EXPECT_EQ(region["name"], "default");
    EXPECT_EQ(region["socket"], socket);
    EXPECT_EQ(region["slots"], 4);
    EXPECT_EQ(region["leased"], 3);
    EXPECT_EQ(region["free"], a->layout.chunks - 3);
    ASSERT_EQ(region["used"].size(), 2U);
    const json& slot = region["used"][0];
    EXPECT_EQ(slot["state"], "LIVE");
    EXPECT_EQ(slot["pid"], getpid());
    EXPECT_EQ(slot["uid"], geteuid());
    EXPECT_EQ(slot["generation"], 1);
    EXPECT_EQ(slot["chunks"], 3);
    EXPECT_EQ(slot["gid"], fmt::format("{:016x}", a->own().gid));
    EXPECT_GE(slot["heartbeat_age"].get<double>(), 0);
    EXPECT_EQ(region["counters"]["joins"], 2);

    a->close();
    ASSERT_TRUE(eventually([&] { return b->lease(0) == ivpci_lease(1, 0); }));
    region = json::parse(status({"--json"}))["regions"][0];
    EXPECT_EQ(region["condemned"], 3);
    EXPECT_EQ(region["used"].size(), 1U);

    std::string table = status();
    EXPECT_NE(table.find("region default: 32 MiB on " + socket), std::string::npos) << table;
    EXPECT_NE(table.find("LIVE"), std::string::npos) << table;
    EXPECT_NE(table.find("3 condemned"), std::string::npos) << table;
}

TEST_F(Seen, StatusWithoutABrokerIsOneLine) {
    auto process = launch({"status", "--control", control}, "status");
    EXPECT_EQ(process->wait(), 1);
    EXPECT_EQ(process->err(), "ivpci-broker: no broker answers on --control " + control +
                                  ": No such file or directory\n");
}

TEST_F(Seen, SilentAndNonsensicalControlClientsHoldNobodyUpForLong) {
    start({"--control", control});
    std::vector<std::unique_ptr<Client>> idle;
    for (int i = 0; i < 40; ++i) {
        idle.push_back(std::make_unique<Client>(control));
    }
    Client garbage(control);
    static_cast<void>(send(garbage.socket(), std::string(5000, 'x').data(), 5000, MSG_NOSIGNAL));
    EXPECT_TRUE(member());
    idle.clear();
    EXPECT_NE(status().find("region default"), std::string::npos);
}

TEST_F(Seen, PrometheusText) {
    uint16_t port = free_port();
    start({"--metrics", "127.0.0.1:" + std::to_string(port)});
    auto a = member();
    ASSERT_EQ(a->request(IVPCI_OP_LEASE, 3), IVPCI_ACK_OK);
    std::string answer = get(port, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(answer.rfind("HTTP/1.1 200", 0), 0U) << answer;
    EXPECT_NE(answer.find("text/plain; version=0.0.4"), std::string::npos) << answer;
    for (const char* line : {"ivpci_broker_slots{region=\"default\",state=\"LIVE\"} 1\n",
                             "ivpci_broker_slots{region=\"default\",state=\"EMPTY\"} 3\n",
                             "ivpci_broker_chunks{region=\"default\",state=\"leased\"} 3\n",
                             "# TYPE ivpci_broker_joins_total counter\n",
                             "ivpci_broker_joins_total{region=\"default\"} 1\n"}) {
        EXPECT_NE(answer.find(line), std::string::npos) << line << answer;
    }
    EXPECT_EQ(get(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                  .rfind("HTTP/1.1 404", 0),
              0U);
    EXPECT_EQ(get(port, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                  .rfind("HTTP/1.1 405", 0),
              0U);
    get(port, "\x01\x02garbage\r\n\r\n");
    EXPECT_EQ(a->request(IVPCI_OP_LEASE, 1), IVPCI_ACK_OK);
}

TEST_F(Seen, ABadMetricsAddressIsOneLine) {
    for (const char* address :
         {"localhost:1", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "::1:5"}) {
        auto process = launch({"--socket", socket, "--metrics", address}, "refused");
        EXPECT_EQ(process->wait(), 2) << address;
        EXPECT_NE(process->err().find("--metrics"), std::string::npos) << process->err();
    }
}

}  // namespace
}  // namespace smc_steer::tests
