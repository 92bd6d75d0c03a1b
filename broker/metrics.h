// SPDX-License-Identifier: Apache-2.0
// GET /metrics over HTTP, served by libmicrohttpd inside the broker's own loop: no thread.
#ifndef SMC_STEER_BROKER_METRICS_H
#define SMC_STEER_BROKER_METRICS_H

#include <functional>
#include <memory>
#include <string>

#include "agent/base/event_loop.h"

struct MHD_Daemon;

namespace smc_steer::broker {

class Metrics {
public:
    // `address`: "127.0.0.1:9469", "[::1]:9469". At most 16 connections, 5 s each. `text` makes the
    // answer's body; it must outlive the result, as must `loop`.
    static Result<std::unique_ptr<Metrics>> serve(EventLoop& loop, const std::string& address,
                                                  std::function<std::string()> text);
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    [[nodiscard]] std::string body() const { return text_(); }

private:
    explicit Metrics(std::function<std::string()> text) : text_(std::move(text)) {}
    std::function<std::string()> text_;
    MHD_Daemon* daemon_ = nullptr;
    EventSource source_;
    EventSource tick_;  // its timeouts are of seconds
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_METRICS_H
