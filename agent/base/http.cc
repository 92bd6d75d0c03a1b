// SPDX-License-Identifier: Apache-2.0
#include "agent/base/http.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <sys/epoll.h>

#include <charconv>

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method,
                      const char* /*version*/, const char* /*upload*/, size_t* upload_size,
                      void** /*state*/) {
    *upload_size = 0;
    std::string_view verb(method);
    HttpAnswer answer{MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n"};
    if (verb == "GET" || verb == "HEAD") {
        const char* host =
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
        answer = static_cast<const HttpServer*>(self)->answer({url, host ? host : ""});
    } else {
        answer.headers.emplace_back(MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    MHD_Response* response = MHD_create_response_from_buffer(answer.body.size(), answer.body.data(),
                                                             MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.type.c_str());
    for (const auto& [name, value] : answer.headers) {
        MHD_add_response_header(response, name.c_str(), value.c_str());
    }
    MHD_Result queued = MHD_queue_response(connection, answer.code, response);
    MHD_destroy_response(response);
    return queued;
}

}  // namespace

Result<ListenAddress> parse_listen_address(const std::string& text) {
    size_t colon = text.rfind(':');
    std::string host = text.substr(0, colon == std::string::npos ? 0 : colon);
    uint16_t port = 0;
    bool good = colon != std::string::npos;
    if (good) {
        const char* last = text.data() + text.size();
        auto [end, err] = std::from_chars(text.data() + colon + 1, last, port);
        good = err == std::errc() && end == last && port != 0;
    }
    ListenAddress address;
    if (good && host.size() > 2 && host.front() == '[' && host.back() == ']') {
        auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        address.v6 = true;
        good = inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &in6->sin6_addr) == 1;
    } else if (good) {
        auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        good = inet_pton(AF_INET, host.c_str(), &in->sin_addr) == 1;
    }
    if (!good) {
        return fail("'{}': give an address and a port, as 127.0.0.1:9469 or [::1]:9469", text);
    }
    return address;
}

bool is_own_host(std::string_view header, std::string_view own_name) {
    std::string host(header);
    bool bracketed = host.starts_with('[');
    if (auto end = bracketed ? host.find(']') : host.rfind(':'); end != std::string::npos) {
        host = host.substr(bracketed ? 1 : 0, bracketed ? end - 1 : end);
    }
    in6_addr address{};
    return inet_pton(bracketed ? AF_INET6 : AF_INET, host.c_str(), &address) == 1 ||
           host == "localhost" || (!host.empty() && host == own_name);
}

Result<std::unique_ptr<HttpServer>> HttpServer::serve(EventLoop& loop, const std::string& address,
                                                      Handler handler) {
    auto parsed = parse_listen_address(address);
    if (!parsed) {
        return forward_error(std::move(parsed));
    }
    std::unique_ptr<HttpServer> server(new HttpServer(std::move(handler)));
    errno = 0;
    server->daemon_ =
        MHD_start_daemon(MHD_USE_EPOLL | (parsed->v6 ? MHD_USE_IPv6 : 0), 0, nullptr, nullptr,
                         on_request, server.get(), MHD_OPTION_SOCK_ADDR, &parsed->storage,
                         MHD_OPTION_CONNECTION_LIMIT, 16U, MHD_OPTION_CONNECTION_TIMEOUT, 5U,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, size_t{16384}, MHD_OPTION_END);
    if (server->daemon_ == nullptr) {
        return fail_errno(errno != 0 ? errno : EIO, "{}: cannot serve HTTP", address);
    }
    const MHD_DaemonInfo* info = MHD_get_daemon_info(server->daemon_, MHD_DAEMON_INFO_EPOLL_FD);
    MHD_Daemon* daemon = server->daemon_;
    auto source = loop.on_io(info->epoll_fd, EPOLLIN, [daemon](uint32_t) { MHD_run(daemon); });
    auto tick = loop.every(1s, [daemon] { MHD_run(daemon); });
    if (!source || !tick) {
        return forward_error(std::move(source ? tick : source));
    }
    server->source_ = std::move(*source);
    server->tick_ = std::move(*tick);
    return server;
}

HttpServer::~HttpServer() {
    source_.reset();
    tick_.reset();
    if (daemon_ != nullptr) {
        MHD_stop_daemon(daemon_);
    }
}

}  // namespace smc_steer
