// SPDX-License-Identifier: Apache-2.0
// One TCP connection to the agent of every peer, over which the two agree which connections move
// onto shared memory (message.h). Needs no SMC.
#ifndef SMC_STEER_AGENT_DIRECT_WIRES_H
#define SMC_STEER_AGENT_DIRECT_WIRES_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/acceptor.h"
#include "agent/base/event_loop.h"
#include "agent/base/unique_fd.h"
#include "agent/direct/message.h"
#include "agent/kernel/address.h"
#include "agent/peers/agent_peer.h"

namespace smc_steer {

// What wires ask of their owner.
class WireOwner {
public:
    virtual ~WireOwner() = default;
    // The number that a peer has in its bulletin now; none: it cannot be read, or has none.
    virtual std::optional<Nonce> nonce_of(std::uint32_t slot) = 0;
    // Sees to it that one of ours is in our bulletin.
    virtual void show_nonce() = 0;
    virtual bool is_ours(const Nonce& nonce) = 0;
    // The two agents can talk from now on.
    virtual void on_up(std::uint32_t slot) = 0;
    // They cannot any more: whatever was asked stays unanswered.
    virtual void on_down(std::uint32_t slot) = 0;
    virtual void on_message(std::uint32_t slot, const Message& message) = 0;
};

class Wires {
public:
    // Connections of a guest's that have not proved to be its agent's, at a time.
    static constexpr std::size_t kMostIncoming = 8;

    // Listens in the calling thread's network namespace, where it also connects from. `owner`
    // outlives it.
    static Result<std::unique_ptr<Wires>> listen(EventLoop& loop, std::uint16_t port,
                                                 WireOwner& owner);

    // By slot. Wires to who is not there, or has a new generation, end. The guest with the higher
    // slot connects at once, the other one when nobody has come for a while.
    void set_peers(std::uint32_t own_slot, std::uint32_t own_generation,
                   std::map<std::uint32_t, AgentPeer> peers);
    bool up(std::uint32_t slot) const;
    // Why there is none; empty if there is one or nothing is known yet.
    std::string problem(std::uint32_t slot) const;
    // Connections from others than peers, closed at once.
    std::uint64_t strangers() const { return strangers_; }
    // To a peer that is up; what does not get there is followed by on_down().
    void send(std::uint32_t slot, const Message& message);

private:
    // A connection and its places in the loop, which must go first.
    struct Connection {
        UniqueFd fd;
        EventSource events;
        EventSource timer;  // while it is not proven
        Address from{};     // of one that came in
        bool dialed = false;
        bool connected = false;
        bool proven = false;
        std::vector<std::uint8_t> in, out;
    };
    struct Wire {
        AgentPeer peer;
        std::unique_ptr<Connection> talking;   // proven
        std::unique_ptr<Connection> outgoing;  // not yet
        // Likewise, the oldest first. Programs at its addresses may be among them: nobody ends
        // another one by coming later, and who proves to be its agent has the wire.
        std::vector<std::unique_ptr<Connection>> incoming;
        std::size_t next_address = 0;
        unsigned rounds = 0;  // through all addresses, in vain
        EventSource timer;    // until the next dialing
        std::string problem;
    };
    Wires(EventLoop& loop, WireOwner& owner) : loop_(loop), owner_(owner) {}

    Result<void> accept_one();
    void admit(UniqueFd fd, const Address& from);
    static void make_place(Wire& wire);
    void dial(std::uint32_t slot, Wire& wire);
    void dial_failed(std::uint32_t slot, Wire& wire, const std::string& why);
    void arm(std::uint32_t slot, Wire& wire, std::chrono::milliseconds delay);
    Result<void> watch(std::uint32_t slot, Connection& connection);
    void on_io(std::uint32_t slot, Connection& connection, std::uint32_t events);
    // An error: it is over.
    Result<void> serve(std::uint32_t slot, Connection& connection, std::uint32_t events);
    Result<void> read(Connection& connection);
    Result<void> write(Connection& connection);
    Result<void> say_hello(std::uint32_t slot, Connection& connection);
    Result<void> take_hello(std::uint32_t slot, Connection& connection);
    void take_messages(std::uint32_t slot, const Connection* connection);
    void prove(std::uint32_t slot, Connection& connection);
    void end(std::uint32_t slot, const Connection* connection, const std::string& why);

    EventLoop& loop_;
    WireOwner& owner_;
    std::uint32_t own_slot_ = 0;
    std::uint32_t own_generation_ = 0;
    UniqueFd listener_;
    Acceptor acceptor_;  // goes before it
    std::map<std::uint32_t, Wire> wires_;
    std::uint64_t strangers_ = 0;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DIRECT_WIRES_H
