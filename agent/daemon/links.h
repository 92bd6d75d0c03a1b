// SPDX-License-Identifier: Apache-2.0
// One SMC-D connection to the agent of every peer, held open and silent.
//
// It proves that the path works, end to end, before any program is steered to that peer; and it
// keeps SMC's link group with the peer alive. Without a link group the first connections make
// one, and when several do so at once, a client that hears of the server's group before it has
// its own declines with "synchronization error", on which the server ends the group and all
// connections in it (net/smc/smc_core.c, smc_conn_create(); smc_clc.c, smc_clc_wait_msg()).
#ifndef SMC_STEER_AGENT_DAEMON_LINKS_H
#define SMC_STEER_AGENT_DAEMON_LINKS_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/base/acceptor.h"
#include "agent/base/event_loop.h"
#include "agent/base/unique_fd.h"
#include "agent/kernel/address.h"
#include "agent/kernel/diag.h"
#include "agent/peers/agent_peer.h"

namespace smc_steer {

// A link as it is handed from an agent to its successor.
struct HeldLink {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    bool incoming = false;
    UniqueFd fd;
};

// What a successor goes on with: peers take the end of a link for the end of the agent.
struct InheritedLinks {
    UniqueFd listener;
    std::vector<HeldLink> held;
    std::uint64_t made = 0;
};

class Links {
public:
    // Listens in the calling thread's network namespace, where it also connects from.
    // `on_change`: some peer is linked, or is no longer.
    static Result<std::unique_ptr<Links>> listen(EventLoop& loop, std::uint16_t port,
                                                 InheritedLinks inherited,
                                                 std::function<void()> on_change);

    // By slot. Links to who is not there, or has a new generation, end. The guest with the
    // higher slot connects at once, the other one when nobody has come for a while.
    void set_peers(std::uint32_t own_slot, std::map<std::uint32_t, AgentPeer> peers);
    bool up(std::uint32_t slot) const;
    // Why there is no link; empty if there is one or nothing is known yet.
    std::string problem(std::uint32_t slot) const;
    // Connections from others than peers, closed at once.
    std::uint64_t strangers() const { return strangers_; }
    // Links that ever were: connections over SMC-D that are no program's.
    std::uint64_t made() const { return made_; }
    // For a successor; they stay ours.
    int listener() const { return listener_.get(); }
    struct Held {
        std::uint32_t slot;
        std::uint32_t generation;
        bool incoming;
        int fd;
    };
    std::vector<Held> held() const;
    // The links' own sockets, as sock_diag numbers them.
    std::set<std::uint64_t> inodes() const;

private:
    // A connection and its place in the loop, which must go first.
    struct Connection {
        UniqueFd fd;
        EventSource events;

        explicit operator bool() const { return fd.valid(); }
        void close() {
            events.reset();
            fd.reset();
        }
    };
    struct Link {
        AgentPeer peer;
        Connection incoming, outgoing, dialing;
        std::size_t next_address = 0;
        unsigned rounds = 0;  // through all addresses, in vain
        EventSource timer;    // of the dialing, or until the next one
        std::string problem;
    };

    Links(EventLoop& loop, DiagSocket diag, std::function<void()> on_change)
        : loop_(loop), diag_(std::move(diag)), on_change_(std::move(on_change)) {}

    Result<void> accept_one();
    void admit(UniqueFd fd, const Address& from);
    void dial(std::uint32_t slot, Link& link);
    void on_dialed(std::uint32_t slot);
    void dial_failed(std::uint32_t slot, Link& link, const std::string& why);
    void arm(std::uint32_t slot, std::chrono::milliseconds delay);
    void on_timer(std::uint32_t slot);
    void take_over(std::uint32_t slot, std::uint32_t generation);
    bool hold(std::uint32_t slot, Connection Link::*which, UniqueFd fd);
    void on_ended(std::uint32_t slot, Connection Link::*which);
    Result<void> runs_over_smcd(int fd);

    EventLoop& loop_;
    DiagSocket diag_;
    std::function<void()> on_change_;
    UniqueFd listener_;
    Acceptor acceptor_;                // goes before it
    std::vector<HeldLink> inherited_;  // until the first set_peers()
    std::map<std::uint32_t, Link> links_;
    std::uint64_t strangers_ = 0;
    std::uint64_t made_ = 0;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_LINKS_H
