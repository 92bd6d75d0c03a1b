// SPDX-License-Identifier: Apache-2.0
// What the relay has in one network namespace: sockets, and a BPF program that watches SYNs.
#ifndef SMC_STEER_AGENT_SPLICE_PLACE_H
#define SMC_STEER_AGENT_SPLICE_PLACE_H

#include <cstdint>
#include <functional>
#include <memory>

#include "agent/base/unique_fd.h"
#include "agent/kernel/join_socket.h"
#include "agent/kernel/splice_hooks.h"

namespace smc_steer {

struct SpliceOptions {
    std::uint16_t port = 7255;           // TCP, where agents of other guests bring connections to
    bool outgoing = false;               // relay what programs connect to
    bool in_kernel = false;              // the module smc_join is there
    const JoinModule* timers = nullptr;  // where the kernel does not keep those of SMC sockets
    int after = 4;                       // buffers that a connection moves before it is used
    int buffer = 1 << 20;  // bytes: of a connection's shared memory, each way, and what is
                           // kept of it here at most
};

class Place {
public:
    // `netns`: an open file of the namespace; empty: the one of the calling thread. `hold`: a port
    // no other place has, 0: any.
    static Result<std::unique_ptr<Place>> make(const SpliceHooks& hooks, UniqueFd netns,
                                               const SpliceOptions& options);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    std::uint64_t cookie() const { return cookie_; }
    std::uint16_t hold() const { return hold_; }
    int listener4() const { return listener4_.get(); }
    int listener6() const { return listener6_.get(); }  // -1: no IPv6
    int agents() const { return agents_.get(); }        // SMC listener

    // Makes sockets there. They are good in any thread.
    Result<UniqueFd> open(const std::function<Result<UniqueFd>()>& make) const;

private:
    explicit Place(const SpliceHooks& hooks, UniqueFd netns)
        : hooks_(hooks), netns_(std::move(netns)) {}
    Result<void> set_up(const SpliceOptions& options);
    Result<void> hold_port();
    Result<void> listen();

    const SpliceHooks& hooks_;
    UniqueFd netns_;
    std::uint64_t cookie_ = 0;
    std::uint16_t hold_ = 0;
    UniqueFd hold4_, hold6_;  // listeners that hear nothing
    UniqueFd listener4_, listener6_;
    UniqueFd agents_;
    UniqueFd lookup_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_PLACE_H
