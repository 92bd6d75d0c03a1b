// SPDX-License-Identifier: Apache-2.0
// bpf/splice.bpf.c and bpf/join.bpf.c in the kernel, and the maps of smc_steer/splice_abi.h.
#ifndef SMC_STEER_AGENT_KERNEL_SPLICE_HOOKS_H
#define SMC_STEER_AGENT_KERNEL_SPLICE_HOOKS_H

#include <smc_steer/splice_abi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/kernel/address.h"
#include "agent/kernel/bpf_object.h"

namespace smc_steer {

// Nothing is pinned: with the agent all of it goes, and connections are plain TCP at once.
//
// Loading and attaching belong to the thread that talks to libbpf; the rest may be called from one
// other thread.
class SpliceHooks {
public:
    // `outgoing`: send connect()s to the agent, too. Nothing is attached yet.
    static Result<std::unique_ptr<SpliceHooks>> load(SharedMaps& maps, bool outgoing);
    // Without it, or on failure, the two ends of a loopback connection are joined by TCP.
    Result<void> load_join(SharedMaps& maps);
    bool joins() const { return join_.has_value(); }

    // To the root control group.
    Result<void> attach();
    // To the network namespace that `netns` is an open file of; in force as long as the link is.
    Result<UniqueFd> attach_lookup(int netns) const;
    // No connect() is sent to the agent any more. The rest stays for those that are.
    void detach_connect() { connect_links_.clear(); }

    Result<void> set_relay(std::uint64_t netns, splice_relay relay) const;
    void remove_relay(std::uint64_t netns) const;
    Result<void> set_listener(splice_place place, int socket) const;

    // Lets a SYN go, if it is still `cookie`'s: value. Its program sees `local` as its own name.
    bool release(const splice_way& way, std::uint64_t cookie, const Endpoint& local) const;
    void refuse(const splice_way& way, std::uint64_t cookie) const;
    // Connections to it are left alone for so long.
    void decline(const Endpoint& server, std::uint64_t nanoseconds) const;

    // What a connection to it, that was relayed, has moved (both ways) and how long that took:
    // where they are short, later ones are left to TCP (events_abi.h).
    void learn(const Endpoint& server, std::uint64_t bytes, std::uint64_t nanoseconds) const;

    // The connection that is about to be made from there stands for `caller`.
    Result<void> announce(const splice_caller& from, const Endpoint& caller) const;
    void forget(const splice_caller& from) const;

    // Readable when programs have asked.
    int fd() const;
    void consume(const std::function<void(const splice_event&)>& on_event);

private:
    struct FreeRing {
        void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
    };
    explicit SpliceHooks(BpfObject splice) : splice_(std::move(splice)) {}
    Result<void> attach(const char* program, int target, std::vector<UniqueFd>& links) const;
    bool settle(const splice_way& way, std::uint64_t cookie, splice_state state,
                const Endpoint& local) const;

    BpfObject splice_;
    std::optional<BpfObject> join_;
    bool outgoing_ = false;
    int relays_ = -1, listeners_ = -1, callers_ = -1, declined_ = -1;
    int settle_ = -1, learn_ = -1;  // programs
    std::unique_ptr<ring_buffer, FreeRing> ring_;
    std::function<void(const splice_event&)> on_event_;
    std::vector<UniqueFd> links_;
    std::vector<UniqueFd> connect_links_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SPLICE_HOOKS_H
