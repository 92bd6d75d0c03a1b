// SPDX-License-Identifier: Apache-2.0
// A small HTTP server for GET, libmicrohttpd inside our own loop: no thread.
#ifndef SMC_STEER_AGENT_BASE_HTTP_H
#define SMC_STEER_AGENT_BASE_HTTP_H

#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/event_loop.h"

struct MHD_Daemon;

namespace smc_steer {

struct ListenAddress {
    sockaddr_storage storage{};
    bool v6 = false;
};

// "127.0.0.1:9469", "[::1]:9469"; no names, the port is not 0.
Result<ListenAddress> parse_listen_address(const std::string& text);

struct HttpAnswer {
    unsigned code = 200;
    std::string body;
};

class HttpServer {
public:
    // Path ("/metrics", without the query) to answer.
    using Handler = std::function<HttpAnswer(std::string_view path)>;

    // Answers are plain text, in the version of it that Prometheus reads. At most 16
    // connections, 5 s each; a port that a former server's connections still hold is taken
    // all the same. `loop` must outlive the result.
    static Result<std::unique_ptr<HttpServer>> serve(EventLoop& loop, const std::string& address,
                                                     Handler handler);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    [[nodiscard]] HttpAnswer answer(std::string_view path) const { return handler_(path); }

private:
    explicit HttpServer(Handler handler) : handler_(std::move(handler)) {}
    Handler handler_;
    MHD_Daemon* daemon_ = nullptr;
    EventSource source_;
    EventSource tick_;  // libmicrohttpd's timeouts are of seconds
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_HTTP_H
