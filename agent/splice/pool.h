// SPDX-License-Identifier: Apache-2.0
// Connections with agents of peers that have served one program and wait for the next: SMC's
// handshake is most of what a short connection costs.
#ifndef SMC_STEER_AGENT_SPLICE_POOL_H
#define SMC_STEER_AGENT_SPLICE_POOL_H

#include <cstdint>
#include <list>
#include <map>
#include <optional>

#include "agent/base/unique_fd.h"
#include "agent/kernel/address.h"
#include "agent/splice/poller.h"

namespace smc_steer {

class WirePool {
public:
    // Of a network namespace (its hold's port), to an address.
    struct Key {
        std::uint16_t hold = 0;
        Address peer;

        auto operator<=>(const Key&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
    };

    explicit WirePool(Poller& poller) : poller_(poller) {}
    ~WirePool();
    WirePool(const WirePool&) = delete;
    WirePool& operator=(const WirePool&) = delete;

    std::optional<UniqueFd> take(const Key& key);
    // One that nobody watches and that has nothing more to say.
    void give(const Key& key, UniqueFd wire, std::uint64_t now_ns);
    // Closes those that wait for long.
    void tick(std::uint64_t now_ns);

private:
    struct Idle : Poller::Watcher {
        // Whatever happens to it, it is good for nothing any more.
        void on_events(std::uint32_t events) override;

        WirePool* pool = nullptr;
        Key key;
        UniqueFd wire;
        std::uint64_t since_ns = 0;
    };
    using Wires = std::list<std::unique_ptr<Idle>>;
    void drop(Wires& wires, Wires::iterator idle);

    Poller& poller_;
    std::map<Key, Wires> idle_;  // the one that came last first
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_POOL_H
