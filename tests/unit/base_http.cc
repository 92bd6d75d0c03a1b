// SPDX-License-Identifier: Apache-2.0
// The HTTP server over a real socket: what it takes, what it refuses.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

#include "agent/base/http.h"
#include "agent/base/unique_fd.h"

namespace smc_steer {
namespace {

TEST(OwnHost, AddressesLocalhostAndTheNameOfTheMachine) {
    for (const char* host :
         {"127.0.0.1", "127.0.0.1:9470", "10.77.0.11:9470", "[::1]", "[fd77::b]:9470", "localhost",
          "localhost:9470", "node-1", "node-1:9470"}) {
        EXPECT_TRUE(is_own_host(host, "node-1")) << host;
    }
    for (const char* host :
         {"", ":9470", "evil.example", "evil.example:9470", "127.0.0.1.evil.example", "[::1", "[]",
          "node-12", "localhost.evil.example", "[evil]:9470"}) {
        EXPECT_FALSE(is_own_host(host, "node-1")) << host;
    }
    EXPECT_FALSE(is_own_host("", ""));
}

class Http : public ::testing::Test {
protected:
    // A loop runs once: each exchange has its own.
    void serve() {
        server_.reset();
        auto loop = EventLoop::create();
        ASSERT_TRUE(loop) << loop.error().message;
        loop_.emplace(std::move(*loop));
        // A port that was free a moment ago; somebody may be faster.
        for (int tries = 0; tries < 20 && !server_; tries++) {
            UniqueFd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            address_.sin_family = AF_INET;
            address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            address_.sin_port = 0;
            socklen_t size = sizeof(address_);
            ASSERT_EQ(bind(probe.get(), reinterpret_cast<sockaddr*>(&address_), size), 0);
            ASSERT_EQ(getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
            probe.reset();
            auto server = HttpServer::serve(
                *loop_, "127.0.0.1:" + std::to_string(ntohs(address_.sin_port)),
                [this](const HttpRequest& request) {
                    asked_++;
                    return HttpAnswer{200,
                                      "path " + std::string(request.path) + ", host " +
                                          std::string(request.host) + "\n",
                                      "text/html; charset=utf-8",
                                      {{"X-One", "1"}, {"X-Two", "2"}}};
                });
            if (server) {
                server_ = std::move(*server);
            }
        }
        ASSERT_TRUE(server_);
    }

    // What comes back for these bytes, to the end of the connection.
    std::string exchange(const std::string& request) {
        std::string answer;
        serve();
        UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address_), sizeof(address_)), 0);
        EXPECT_EQ(send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(request.size()));
        auto source = loop_->on_io(fd.get(), EPOLLIN, [&](std::uint32_t) {
            char buffer[4096];
            auto got = read(fd.get(), buffer, sizeof(buffer));
            if (got <= 0) {
                loop_->exit(0);
                return;
            }
            answer.append(buffer, static_cast<std::size_t>(got));
        });
        EXPECT_TRUE(source);
        EXPECT_TRUE(loop_->run());
        return answer;
    }

    sockaddr_in address_{};
    std::optional<EventLoop> loop_;
    std::unique_ptr<HttpServer> server_;
    int asked_ = 0;
};

TEST_F(Http, AnswersCarryTypeAndHeaders) {
    auto answer = exchange("GET /a?b=c HTTP/1.1\r\nHost: here:1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    for (const char* line : {"Content-Type: text/html; charset=utf-8\r\n", "X-One: 1\r\n",
                             "X-Two: 2\r\n", "\r\n\r\npath /a, host here:1\n"}) {
        EXPECT_NE(answer.find(line), std::string::npos) << line << answer;
    }
}

TEST_F(Http, HeadHasNoBody) {
    auto answer = exchange("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(Http, NothingButReadingIsAllowed) {
    for (const char* verb : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"}) {
        auto answer = exchange(std::string(verb) +
                               " /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                               "Connection: close\r\n\r\nbody");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 405 ")) << verb << ": " << answer;
        EXPECT_NE(answer.find("Allow: GET, HEAD\r\n"), std::string::npos) << answer;
    }
    EXPECT_EQ(asked_, 0);
}

}  // namespace
}  // namespace smc_steer
