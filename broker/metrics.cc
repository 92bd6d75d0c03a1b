// SPDX-License-Identifier: Apache-2.0
#include "broker/metrics.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <sys/epoll.h>

#include <charconv>
#include <cstring>
#include <string_view>

namespace smc_steer::broker {
namespace {

using namespace std::chrono_literals;

struct Address {
    sockaddr_storage storage{};
    bool v6 = false;
};

Result<Address> parse_address(const std::string& text) {
    size_t colon = text.rfind(':');
    std::string host = text.substr(0, colon == std::string::npos ? 0 : colon);
    uint16_t port = 0;
    bool good = colon != std::string::npos;
    if (good) {
        const char* last = text.data() + text.size();
        auto [end, err] = std::from_chars(text.data() + colon + 1, last, port);
        good = err == std::errc() && end == last && port != 0;
    }
    Address address;
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
        return fail("--metrics {}: give an address and a port, as 127.0.0.1:9469 or [::1]:9469",
                    text);
    }
    return address;
}

MHD_Result answer(void* self, MHD_Connection* connection, const char* url, const char* method,
                  const char* /*version*/, const char* /*upload*/, size_t* upload_size,
                  void** /*state*/) {
    bool known = std::string_view(url) == "/metrics";
    bool get = std::string_view(method) == "GET" || std::string_view(method) == "HEAD";
    *upload_size = 0;
    std::string body = known && get ? static_cast<const Metrics*>(self)->body() : "see /metrics\n";
    unsigned code = !known ? MHD_HTTP_NOT_FOUND : get ? MHD_HTTP_OK : MHD_HTTP_METHOD_NOT_ALLOWED;
    MHD_Response* response =
        MHD_create_response_from_buffer(body.size(), body.data(), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            "text/plain; version=0.0.4; charset=utf-8");
    MHD_Result queued = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return queued;
}

}  // namespace

Result<std::unique_ptr<Metrics>> Metrics::serve(EventLoop& loop, const std::string& address,
                                                std::function<std::string()> text) {
    auto parsed = parse_address(address);
    if (!parsed) {
        return forward_error(std::move(parsed));
    }
    std::unique_ptr<Metrics> metrics(new Metrics(std::move(text)));
    errno = 0;
    metrics->daemon_ =
        MHD_start_daemon(MHD_USE_EPOLL | (parsed->v6 ? MHD_USE_IPv6 : 0), 0, nullptr, nullptr,
                         answer, metrics.get(), MHD_OPTION_SOCK_ADDR, &parsed->storage,
                         MHD_OPTION_CONNECTION_LIMIT, 16U, MHD_OPTION_CONNECTION_TIMEOUT, 5U,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, size_t{16384}, MHD_OPTION_END);
    if (metrics->daemon_ == nullptr) {
        return fail_errno(errno != 0 ? errno : EIO, "--metrics {}: cannot serve", address);
    }
    const MHD_DaemonInfo* info = MHD_get_daemon_info(metrics->daemon_, MHD_DAEMON_INFO_EPOLL_FD);
    MHD_Daemon* daemon = metrics->daemon_;
    auto source = loop.on_io(info->epoll_fd, EPOLLIN, [daemon](uint32_t) { MHD_run(daemon); });
    auto tick = loop.every(1s, [daemon] { MHD_run(daemon); });
    if (!source || !tick) {
        return forward_error(std::move(source ? tick : source));
    }
    metrics->source_ = std::move(*source);
    metrics->tick_ = std::move(*tick);
    return metrics;
}

Metrics::~Metrics() {
    source_.reset();
    tick_.reset();
    if (daemon_ != nullptr) {
        MHD_stop_daemon(daemon_);
    }
}

}  // namespace smc_steer::broker
