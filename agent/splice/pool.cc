// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/pool.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

namespace smc_steer {
namespace {

constexpr std::size_t kIdleMost = 8;               // to one address: each has its buffers
constexpr std::uint64_t kIdleNs = 10'000'000'000;  // less than the other end's patience

}  // namespace

WirePool::~WirePool() = default;

void WirePool::Idle::on_events(std::uint32_t events) {
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0) {
        return;
    }
    auto& wires = pool->idle_[key];
    pool->drop(wires, std::find_if(wires.begin(), wires.end(),
                                   [this](const auto& each) { return each.get() == this; }));
}

void WirePool::drop(Wires& wires, Wires::iterator idle) {
    auto gone = std::move(*idle);
    wires.erase(idle);
    poller_.unwatch(gone->wire.get());
    gone->wire.reset();
    poller_.bury(std::move(gone));
}

std::optional<UniqueFd> WirePool::take(const Key& key) {
    auto wires = idle_.find(key);
    if (wires == idle_.end() || wires->second.empty()) {
        return std::nullopt;
    }
    auto& first = *wires->second.front();
    poller_.unwatch(first.wire.get());
    auto wire = std::move(first.wire);
    poller_.bury(std::move(wires->second.front()));
    wires->second.pop_front();
    return wire;
}

void WirePool::give(const Key& key, UniqueFd wire, std::uint64_t now_ns) {
    auto& wires = idle_[key];
    if (wires.size() >= kIdleMost) {
        return;
    }
    auto idle = std::make_unique<Idle>();
    idle->pool = this;
    idle->key = key;
    idle->wire = std::move(wire);
    idle->since_ns = now_ns;
    if (poller_.watch(idle->wire.get(), *idle)) {
        wires.push_front(std::move(idle));
    }
}

void WirePool::tick(std::uint64_t now_ns) {
    for (auto it = idle_.begin(); it != idle_.end();) {
        auto& wires = it->second;
        while (!wires.empty() && now_ns - wires.back()->since_ns > kIdleNs) {
            drop(wires, std::prev(wires.end()));
        }
        it = wires.empty() ? idle_.erase(it) : std::next(it);
    }
}

}  // namespace smc_steer
