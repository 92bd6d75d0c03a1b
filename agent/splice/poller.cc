// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/poller.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/acceptor.h"

namespace smc_steer {

Result<Poller> Poller::create() {
    UniqueFd fd(epoll_create1(EPOLL_CLOEXEC));
    if (!fd) {
        return fail_errno("cannot make an epoll descriptor");
    }
    return Poller(std::move(fd));
}

Result<void> Poller::add(int fd, std::uint32_t events, Watcher& watcher) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &watcher;
    if (epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        return fail_errno("cannot watch a socket");
    }
    return {};
}

Result<void> Poller::watch(int fd, Watcher& watcher) {
    return add(fd, EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET, watcher);
}

Result<void> Poller::watch_readable(int fd, Watcher& watcher) { return add(fd, EPOLLIN, watcher); }

void Poller::unwatch(int fd) { epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Poller::rest(int fd, Watcher& watcher) {
    unwatch(fd);
    resting_.push_back({fd, &watcher, std::chrono::steady_clock::now() + kAcceptPause});
}

void Poller::wake() {
    auto now = std::chrono::steady_clock::now();
    std::erase_if(resting_, [&](const Resting& one) {
        return one.until <= now && watch_readable(one.fd, *one.watcher).has_value();
    });
}

void Poller::bury(std::unique_ptr<Watcher> watcher) {
    watcher->buried_ = true;
    graves_.push_back(std::move(watcher));
}

void Poller::turn(std::chrono::milliseconds most) {
    wake();
    std::array<epoll_event, 256> events;
    int wait = again_.empty() ? static_cast<int>(most.count()) : 0;
    int count = epoll_wait(fd_.get(), events.data(), static_cast<int>(events.size()), wait);
    auto again = std::exchange(again_, {});
    for (auto* watcher : again) {
        if (!watcher->buried_) {
            watcher->on_events(0);
        }
    }
    for (int i = 0; i < count; i++) {
        auto* watcher = static_cast<Watcher*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (!watcher->buried_) {
            watcher->on_events(events[static_cast<std::size_t>(i)].events);
        }
    }
    std::erase_if(again_, [](const Watcher* watcher) { return watcher->buried_; });
    std::erase_if(resting_, [](const Resting& one) { return one.watcher->buried_; });
    graves_.clear();
}

}  // namespace smc_steer
