// SPDX-License-Identifier: Apache-2.0
// What everything on the relay's thread works with.
#ifndef SMC_STEER_AGENT_SPLICE_CONTEXT_H
#define SMC_STEER_AGENT_SPLICE_CONTEXT_H

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "agent/kernel/splice_hooks.h"
#include "agent/policy/rule.h"
#include "agent/splice/join.h"
#include "agent/splice/place.h"
#include "agent/splice/poller.h"
#include "agent/splice/pool.h"

namespace smc_steer {

// What the agent's main thread knows and the relay decides by. Never changed, only replaced.
struct SpliceView {
    struct Peer {
        std::uint16_t splice_port = 0;  // 0: its agent takes no relayed connections
    };
    std::map<Address, Peer> peers;  // that we have a link with
    std::shared_ptr<const Policy> policy;
};

// Since the relay began.
struct SpliceStats {
    std::atomic<std::uint64_t> asked{0};     // connect()s that were held
    std::atomic<std::uint64_t> relayed{0};   // of them, to an agent
    std::atomic<std::uint64_t> reused{0};    // of these, on a connection that had served another
    std::atomic<std::uint64_t> native{0};    // to a server that is an SMC socket
    std::atomic<std::uint64_t> plain{0};     // over TCP, because SMC-D was not to be had
    std::atomic<std::uint64_t> refused{0};   // as without us
    std::atomic<std::uint64_t> incoming{0};  // brought by an agent
    std::atomic<std::uint64_t> adopted{0};   // of programs of peers, SMC-D up to here
    std::atomic<std::uint64_t> denied{0};    // brought by an agent, and no rule has them relayed
    std::atomic<std::uint64_t> strangers{0};
    std::atomic<std::uint64_t> disagreed{0};   // on a version
    std::atomic<std::uint64_t> broken_off{0};  // relayed connections that did not end by themselves
    std::atomic<std::uint64_t> carried{0};     // those that the kernel carries on
    std::atomic<std::uint64_t> active{0};
    std::atomic<std::uint64_t> sent{0};  // bytes, from programs of this guest
    std::atomic<std::uint64_t> received{0};
};

struct SpliceContext {
    Poller& poller;
    const SpliceHooks& hooks;
    const SpliceOptions& options;
    Scratch& scratch;
    Moved& moved;
    SpliceStats& stats;
    WirePool& pool;
    // Servers that their agent does not relay to, and until when they are not asked for.
    std::map<Endpoint, std::uint64_t> direct;
    std::shared_ptr<const SpliceView> view;  // of this turn
    std::uint64_t now_ns = 0;                // likewise
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_CONTEXT_H
