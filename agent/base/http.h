// SPDX-License-Identifier: Apache-2.0
// A small HTTP server for GET, libmicrohttpd inside our own loop: no thread.
#ifndef SMC_STEER_AGENT_BASE_HTTP_H
#define SMC_STEER_AGENT_BASE_HTTP_H

#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/event_loop.h"

struct MHD_Daemon;

namespace smc_steer {

struct ListenAddress {
    sockaddr_storage storage{};
    bool v6 = false;
};

// A Host header that names an address, localhost or `own_name`: not a name that somebody else
// may have given this machine's address to have a browser bring them what we answer.
bool is_own_host(std::string_view header, std::string_view own_name);

// "127.0.0.1:9469", "[::1]:9469"; no names, the port is not 0.
Result<ListenAddress> parse_listen_address(const std::string& text);

// What the client sent; valid during the call.
struct HttpRequest {
    std::string_view path;  // "/metrics", without the query
    std::string_view host;  // the header, may be empty
};

struct HttpAnswer {
    unsigned code = 200;
    std::string body;
    // Plain text in the version of it that Prometheus reads.
    std::string type = "text/plain; version=0.0.4; charset=utf-8";
    std::vector<std::pair<std::string, std::string>> headers{};
};

class HttpServer {
public:
    using Handler = std::function<HttpAnswer(const HttpRequest& request)>;

    // At most 16 connections, 5 s each; a port that a former server's connections still hold is
    // taken all the same. `loop` must outlive the result.
    static Result<std::unique_ptr<HttpServer>> serve(EventLoop& loop, const std::string& address,
                                                     Handler handler);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    [[nodiscard]] HttpAnswer answer(const HttpRequest& request) const { return handler_(request); }

private:
    explicit HttpServer(Handler handler) : handler_(std::move(handler)) {}
    Handler handler_;
    MHD_Daemon* daemon_ = nullptr;
    EventSource source_;
    EventSource tick_;  // libmicrohttpd's timeouts are of seconds
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_HTTP_H
