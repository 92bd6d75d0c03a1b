// SPDX-License-Identifier: Apache-2.0
// One connect() of a program, from the SYN that is held back to a join.
#ifndef SMC_STEER_AGENT_SPLICE_OUTGOING_H
#define SMC_STEER_AGENT_SPLICE_OUTGOING_H

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/splice/context.h"
#include "agent/splice/place.h"
#include "agent/splice/wire.h"

namespace smc_steer {

// Asks the agent of the guest that the server is in. Where that one does not relay to it, or there
// is no SMC-D, connects to the server itself: over SMC-D if the server's socket is an SMC socket,
// over TCP if not, and leaves connections to it alone for a while then.
class Outgoing : public Poller::Watcher {
public:
    // `on_ready`: the server is reached, the SYN may go; or it may not, ever. Called once, inside
    // of a turn or of begin().
    Outgoing(SpliceContext& context, const Place& place, const splice_event& event,
             std::function<void(Outgoing&)> on_ready);
    void begin();
    void on_events(std::uint32_t events) override;
    // To be called now and then: an agent that does not answer is given up.
    void tick();

    const splice_event& event() const { return event_; }
    Endpoint wanted() const { return wanted_; }
    bool over_smcd() const { return over_smcd_; }
    bool reached() const { return state_ == State::ready; }
    // Of one that is reached: by then the program has come for it, or has ended.
    std::uint64_t come_by_ns() const;
    // For the log.
    const std::string& outcome() const { return outcome_; }
    UniqueFd take_wire() { return std::move(wire_); }
    Join::Kind kind() const {
        return {form_, over_smcd_ && (form_ == Join::Form::raw || version_ >= kWireDirect)};
    }
    // Own name of the wire, which becomes the program's.
    const Endpoint& local() const { return local_; }

private:
    enum class State { idle, calling_agent, waiting, connecting, ready, refused };

    void call_agent();
    void agent_failed(const std::string& why);
    void greet();
    void read_replies();
    void on_verdict(Verdict verdict);
    void connect_directly(const std::string& why);
    void on_connected();
    void drop_wire();
    bool watch(Result<UniqueFd> wire, State next);
    void conclude(State state);

    SpliceContext& context_;
    const Place& place_;
    splice_event event_;
    std::function<void(Outgoing&)> on_ready_;
    Endpoint wanted_;
    Address bound_;
    UniqueFd wire_;
    State state_ = State::idle;
    Join::Form form_ = Join::Form::framed;
    bool over_smcd_ = false;
    bool reused_ = false;                // the wire has served another
    std::uint8_t version_ = kWireLeast;  // of the agents' wire
    std::uint16_t port_ = 0;             // of the agent
    std::uint64_t asked_ns_ = 0;
    std::uint64_t since_ns_ = 0;  // of the state
    Endpoint local_;
    std::vector<std::uint8_t> heard_;
    std::string outcome_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_OUTGOING_H
