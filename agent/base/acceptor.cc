// SPDX-License-Identifier: Apache-2.0
#include "agent/base/acceptor.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <utility>

namespace smc_steer {

Result<void> Acceptor::start(EventLoop& loop, int listener, Accept accept) {
    loop_ = &loop;
    listener_ = listener;
    accept_ = std::move(accept);
    return watch();
}

void Acceptor::stop() {
    came_.reset();
    pause_.reset();
}

Result<void> Acceptor::watch() {
    return loop_->on_io(listener_, EPOLLIN, [this](std::uint32_t) { on_came(); })
        .map([this](EventSource source) { came_ = std::move(source); });
}

void Acceptor::on_came() {
    auto done = accept_();
    if (done) {
        complained_ = false;
        return;
    }
    if (!std::exchange(complained_, true)) {
        spdlog::error("{}; tried again twice a second", done.error().message);
    }
    pause();
}

void Acceptor::pause() {
    auto timer = loop_->after(kAcceptPause, [this] {
        pause_.reset();
        if (!watch()) {
            pause();
        }
    });
    // Without a timer busy is better than deaf.
    if (timer) {
        came_.reset();
        pause_ = std::move(*timer);
    }
}

}  // namespace smc_steer
