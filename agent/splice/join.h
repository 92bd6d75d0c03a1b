// SPDX-License-Identifier: Apache-2.0
// Two sockets that are one connection: a program's, over the loopback interface, and the one that
// goes to the other guest. Where the kernel can carry it on (smc_steer/join_abi.h), it does so as
// soon as the connection has turned out not to be a short one: first what the program sends, then
// what it receives. Short ones are cheaper here, since the wire serves others after them.
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
    std::uint64_t carried = 0;   // connections that the kernel carries on
};

class Join : public Poller::Watcher {
public:
    // framed: an agent is at the other end (wire.h). raw: a program, to which an end of stream is
    // all that can be told.
    enum class Form { framed, raw };

    struct Kind {
        Form form = Form::framed;
        // The kernel may carry it on; so can the other end.
        bool in_kernel = false;
        int after = 0;  // buffers that have moved: until then it is a short one
    };

    // Both sockets are connected and do not block; nobody watches them. `on_end` is called once,
    // inside of a turn.
    Join(Poller& poller, Scratch& scratch, Moved& moved, UniqueFd local, UniqueFd wire, Kind kind,
         std::function<void(Join&)> on_end);
    Result<void> start();
    // Both ends see a connection that was broken off.
    void break_off();
    bool broken_off() const { return broken_off_; }
    // Counts what the kernel has moved.
    void count();
    // What has moved so far, both ways.
    std::uint64_t bytes() const { return bytes_; }
    // Every now and then, for what no event tells of.
    void tick();
    // In on_end: when the first of both ends came.
    std::uint64_t ended_ns() const { return ended_ns_; }
    // In on_end: the wire, if it is good for another connection, and what came on it after the end
    // of this one.
    UniqueFd take_wire() { return std::move(wire_.fd); }
    std::vector<std::uint8_t> take_rest();
    // In on_end: a wire on which a reset was sent. It is to be kept until the other end has ended
    // it: SMC-D does not send messages but the state of things, and closing it would be the last
    // word.
    UniqueFd take_reset() { return std::move(reset_); }

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
    // What the program sends: is read here; its end is looked for in the kernel; is found there;
    // goes to the wire without us.
    enum class Sends { here, looked_for, found, directly };

    Step send_up();
    Step send_late();
    Step send_down();
    Step flush_up();
    Step end_up();
    // What of `bytes` the program took, or was understood.
    std::size_t deliver(Bytes bytes, Step& step);
    Step deliver_end();
    // -1: would block; -2: failed
    static std::ptrdiff_t receive(Side& side, std::uint8_t* to, std::size_t size, int flags = 0);
    static std::ptrdiff_t send(Side& side, const std::uint8_t* from, std::size_t size);
    void has_ended();
    void count_sent(std::uint64_t bytes);
    void count_received(std::uint64_t bytes);
    bool is_short() const;
    void has_moved(std::ptrdiff_t size);
    void let_kernel_send();
    bool let_kernel_receive();
    void end_wire();
    void pump();
    void finish();
    void close(bool reset_local);

    Poller& poller_;
    Scratch& scratch_;
    Moved& moved_;
    Side local_;
    Side wire_;
    UniqueFd reset_;
    Kind kind_;
    std::function<void(Join&)> on_end_;
    Way up_;    // local to wire
    Way down_;  // wire to local
    std::size_t frame_left_ = 0;
    Sends sends_ = Sends::here;
    bool up_raw_;    // there are no frames (any more)
    bool down_raw_;  // likewise
    bool carried_ = false;
    int buffers_ = 0;  // that had something in them, as long as it is short
    std::uint64_t bytes_ = 0;
    std::uint64_t ended_ns_ = 0;
    std::uint64_t counted_sent_ = 0;  // of them, by the kernel
    std::uint64_t counted_received_ = 0;
    bool ended_ = false;
    bool broken_off_ = false;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_JOIN_H
