// SPDX-License-Identifier: Apache-2.0
// Two sockets that are one connection: a program's, over the loopback interface, and the one that
// goes to the other guest.
#ifndef SMC_STEER_AGENT_SPLICE_JOIN_H
#define SMC_STEER_AGENT_SPLICE_JOIN_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/splice/poller.h"
#include "agent/splice/wire.h"

namespace smc_steer {

// What all joins of a thread read into, one after the other. A join keeps to itself only what one
// end would not take, so that an idle connection has no buffer and a stuck one has two at most.
using Scratch = std::vector<std::uint8_t>;

struct Moved {
    std::uint64_t sent = 0;      // bytes, from programs to the wire
    std::uint64_t received = 0;  // the other way
};

class Join : public Poller::Watcher {
public:
    // framed: an agent is at the other end (wire.h). raw: a program, to which an end of stream is
    // all that can be told.
    enum class Form { framed, raw };

    // Both sockets are connected and do not block; nobody watches them. `on_end` is called once,
    // inside of a turn.
    Join(Poller& poller, Scratch& scratch, Moved& moved, UniqueFd local, UniqueFd wire, Form form,
         std::function<void(Join&)> on_end);
    Result<void> start();
    // Both ends see a connection that was broken off.
    void break_off();
    bool broken_off() const { return broken_off_; }
    // In on_end, of a framed one that was not broken off: the wire, which is good for another
    // connection, and what came on it after the end of this one.
    UniqueFd take_wire() { return std::move(wire_.fd); }
    std::vector<std::uint8_t> take_rest();

    void on_events(std::uint32_t events) override;

private:
    struct Side : Poller::Watcher {
        Side(Join& join_in, UniqueFd fd_in) : join(join_in), fd(std::move(fd_in)) {}
        void on_events(std::uint32_t events) override;

        Join& join;
        UniqueFd fd;
        bool readable = false;
        bool writable = false;
        bool hung_up = false;  // no more than what is there to be read: read to the end
        bool broken = false;   // that end is none of a stream
    };
    struct Way {
        std::vector<std::uint8_t> pending;  // read and not written
        std::size_t at = 0;                 // of it, what is written
        bool ended = false;                 // nothing more will be read
        bool done = false;                  // and all is written, the end too
    };
    enum class Step { more, wait, over };

    Step send_up();
    Step send_down();
    Step flush_up();
    Step end_up();
    // What of `bytes` the program took, or was understood.
    std::size_t deliver(Bytes bytes, Step& step);
    Step deliver_end();
    // -1: would block; -2: failed
    static std::ptrdiff_t receive(Side& side, std::uint8_t* to, std::size_t size);
    static std::ptrdiff_t send(Side& side, const std::uint8_t* from, std::size_t size);
    void pump();
    void finish();
    void close(bool reset_local, bool reset_wire);

    Poller& poller_;
    Scratch& scratch_;
    Moved& moved_;
    Side local_;
    Side wire_;
    Form form_;
    std::function<void(Join&)> on_end_;
    Way up_;    // local to wire
    Way down_;  // wire to local
    std::size_t frame_left_ = 0;
    bool ended_ = false;
    bool broken_off_ = false;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_JOIN_H
