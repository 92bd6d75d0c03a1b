// SPDX-License-Identifier: Apache-2.0
// Which connections of this guest are on shared memory, and which are on their way there or back.
// What happens to one is agreed with the agent of its other end (message.h); what it takes is asked
// of the kernel (direct_device.h). Neither waits for an answer: everything is a step of a
// connection's state.
//
//   asks:     nothing -> preparing -> offered -> moved
//   answers:  nothing -> readying  -> ready   -> moved
//
// From each of these back to nothing, which is plain TCP.
#ifndef SMC_STEER_AGENT_DIRECT_OFFLOAD_H
#define SMC_STEER_AGENT_DIRECT_OFFLOAD_H

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/direct/heat.h"
#include "agent/direct/message.h"
#include "agent/direct/shares.h"
#include "agent/kernel/diag.h"
#include "agent/kernel/direct_device.h"

namespace smc_steer {

// A guest of the region; slot 0: none.
struct Guest {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;

    bool operator==(const Guest&) const = default;
};

// An established TCP connection of this guest, as sock_diag shows it.
struct Seen {
    ino_t netns = 0;
    TcpSocket socket;
    Guest peer;  // whose published address the other end has
};

class OffloadOwner {
public:
    virtual ~OffloadOwner() = default;
    // An open file of the network namespace; null: it is gone.
    virtual std::shared_ptr<const UniqueFd> netns_file(ino_t netns) = 0;
    // Why the rules, or its workload, keep it on TCP; empty: they do not.
    virtual std::string why_denied(const Seen& seen) = 0;
    // All connections, of all namespaces, as they were a moment ago: what is asked about is older.
    virtual const std::vector<Seen>& find_all() = 0;
    // Who has that slot.
    virtual Guest guest(std::uint32_t slot) = 0;
    virtual void send(std::uint32_t slot, const Message& message) = 0;
    // The agents of both guests can talk.
    virtual bool can_talk(std::uint32_t slot) = 0;
};

class Offload {
public:
    // Under way at a time: what is more waits for its next look, or hears "not now".
    static constexpr std::size_t kMostAsked = 64, kMostAnswered = 256;
    // Of these for one control group: others find room.
    static constexpr std::size_t kMostAnsweredOfOne = kMostAnswered / 2;
    // Questions of one guest a second that name no connection of this one.
    static constexpr unsigned kMostMisses = 64;

    // `device`: N of /dev/ivpciN. `owner` outlives it. `first_id`: another one than the agent
    // before had.
    Offload(const OffloadLimits& limits, std::uint32_t device, OffloadOwner& owner,
            std::uint64_t first_id = 1)
        : limits_(limits), device_(device), owner_(owner), next_id_(first_id) {}

    void set_own_slot(std::uint32_t slot) { own_slot_ = slot; }

    // What there is, a few times a second. Those of `paused` namespaces were not looked at.
    void look(DirectRequests& kernel, const std::vector<Seen>& all,
              const std::vector<ino_t>& paused, std::uint64_t now_ns);
    // Still there, moved, and used? Likewise.
    void maintain(DirectRequests& kernel, std::uint64_t now_ns);
    // Goes on with what is under way.
    void go_on(DirectRequests& kernel, std::uint64_t now_ns);
    // Is there anything to go on with.
    bool under_way() const;
    // Namespaces where something is: who looks at sockets there holds it up.
    std::vector<ino_t> busy() const;
    void on_message(DirectRequests& kernel, std::uint32_t slot, const Message& message,
                    std::uint64_t now_ns);
    bool empty() const { return entries_.empty(); }
    void on_down(DirectRequests& kernel, std::uint32_t slot, std::uint64_t now_ns);
    // Other rules, or other workloads: what is moved and denied now goes back to TCP.
    void judge(DirectRequests& kernel, std::uint64_t now_ns);
    // All back to TCP.
    void restore(DirectRequests& kernel);
    // The kernel's side has gone, and with it everything that was moved.
    void forget();

    enum class State { preparing, offered, readying, ready, moved };
    struct Report {
        State state = State::preparing;
        std::uint32_t slot = 0;
        int ring = 0;                // bytes
        std::uint64_t since_ns = 0;  // CLOCK_MONOTONIC, of `moved`
        direct_flow flow{};
    };
    // Of the socket with that inode; null: it is TCP.
    const Report* report(std::uint64_t inode) const;
    // Why it is not moved; empty: nothing is known to be in the way.
    std::string why_not(std::uint64_t inode) const;
    struct Totals {
        std::uint64_t now = 0;  // connections that are moved
        std::uint64_t under_way = 0;
        std::uint64_t moved = 0;  // all that ever were
        std::uint64_t back_idle = 0;
        std::uint64_t back_denied = 0;
        std::uint64_t back_evicted = 0;
        std::uint64_t back_share = 0;
        std::uint64_t back_by_peer = 0;
        std::uint64_t failed = 0;      // attempts
        std::uint64_t ring_bytes = 0;  // of connections that are moved, both ways
    };
    Totals totals() const;

private:
    struct Entry {
        Seen seen;
        ConnectionName name;
        std::shared_ptr<const UniqueFd> netns;
        std::uint64_t id = 0;  // 0: of an agent before this one
        Salt salt{};
        std::optional<Message> offer{};  // that could not be taken up at once
        std::uint64_t next_try_ns = 0;
        bool ours = false;  // this agent asks
        bool attached = false;
        bool peer_ready = false;
        bool made = false;
        int size = 0;
        int most_size = 0;                // `size` before memory was short
        std::uint64_t room_until_ns = 0;  // somebody gives it room, which takes a moment
        bool waits_for_room = false;
        std::uint64_t deadline_ns = 0;
        std::uint64_t grew_ns = 0;
        std::uint64_t recent_bytes = 0;  // from the last but one look to the last one
        Report report;
    };
    struct Track {
        ino_t netns = 0;
        Traffic traffic;
        bool known = false;       // `traffic` is of the last look
        std::uint64_t grown = 0;  // bytes, from the last but one look to the last one
        // How old it is nobody tells: it is as old as this agent's knowledge of it.
        std::uint64_t since_ns = 0;
        std::uint64_t used_ns = 0;  // when a look last found that it had moved something; 0: never
        unsigned failures = 0;
        std::uint64_t not_before_ns = 0;  // for questions of this agent's
        std::uint64_t answered_ns = 0;    // the other's last question that was gone into
        std::string why_not;
        bool judge = false;  // `why_not` may be of rules before those in force
        bool here = false;
    };
    using Entries = std::map<std::uint64_t, Entry>;  // by inode

    bool is_worth_it(Track& track, const Traffic& now, std::uint64_t now_ns) const;
    // Is it to be moved, as far as it alone decides.
    bool consider(DirectRequests& kernel, const Seen& seen, std::uint64_t now_ns);
    // Value: it is under way now.
    bool ask_for(DirectRequests& kernel, const Seen& seen, bool possible, std::uint64_t now_ns);
    void begin(DirectRequests& kernel, const Seen& seen, std::uint64_t now_ns);
    bool find_other_end(DirectRequests& kernel, const Message& theirs, Entry& entry);
    std::size_t under_way(bool ours) const;
    std::size_t answered_of(std::uint64_t group) const;
    bool may_miss(std::uint32_t slot, std::uint64_t now_ns);
    void adopt(DirectRequests& kernel, const Seen& seen, std::uint64_t now_ns);
    // Fills in name and namespace.
    bool identify(DirectRequests& kernel, const Seen& seen, Entry& entry);
    bool is_clean(DirectRequests& kernel, Entry& entry, DirectAnswer& answer);
    // Rings of that size or a smaller one; may send another connection back.
    DirectAnswer make(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns,
                      std::uint64_t& token);
    Claim claim_of(const Entry& entry) const;
    std::vector<Claim> claims(std::vector<Entries::iterator>& whose);
    static std::pair<std::uint32_t, std::uint64_t> room_of(const Entry& entry) {
        return {entry.report.slot, entry.seen.socket.cgroup};
    }
    // Value: there will be room soon. Whether the other end has some it says only once there is
    // a ring to offer.
    bool make_room(DirectRequests& kernel, Entry& wants, std::uint64_t now_ns);
    DirectAnswer wait_for_room(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns);
    void offer(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns);
    void on_prepare(DirectRequests& kernel, std::uint32_t slot, const Message& message,
                    std::uint64_t now_ns);
    // The OFFER that `entry` has; if it cannot be now, and may be soon, later.
    void take_up(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns);
    // To the other end's ring, and moves what is sent.
    DirectAnswer connect(DirectRequests& kernel, const Entry& entry, std::uint64_t token);
    void on_taken(DirectRequests& kernel, Entry& entry, const Message& message,
                  std::uint64_t now_ns);
    void finish(Entry& entry, std::uint64_t now_ns);
    Entries::iterator find(std::uint32_t slot, bool ours, std::uint64_t id);
    // Back to TCP, and out of the table. `tell`: the other agent.
    Entries::iterator release(DirectRequests& kernel, Entries::iterator at, WhyNot why, bool tell);
    // Likewise, and it is left alone for a while.
    Entries::iterator fail_entry(DirectRequests& kernel, Entries::iterator at, WhyNot why,
                                 std::string text, bool tell, std::uint64_t now_ns);
    direct_request request_of(const Entry& entry);
    direct_rings rings_of(const Entry& entry);
    void say(const Entry& entry, MessageKind kind, WhyNot why = WhyNot::none,
             std::uint64_t token = 0);

    OffloadLimits limits_;
    std::uint32_t device_;
    OffloadOwner& owner_;
    std::uint32_t own_slot_ = 0;
    std::uint64_t next_id_;
    Entries entries_;
    std::map<std::uint64_t, Track> tracks_;  // by inode
    struct Misses {
        std::uint64_t since_ns = 0;
        unsigned count = 0;
    };
    std::map<std::uint32_t, Misses> misses_;  // by slot
    std::uint64_t evicted_ns_ = 0;            // when last, for a hotter one
    std::uint64_t shared_ns_ = 0;             // when last, for another control group
    // When a connection was given room last and could not be moved, by the other end's slot and the
    // own control group: what one group's sockets are like is nothing to the others.
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> in_vain_ns_;
    std::uint64_t full_ns_ = 0;  // when the driver last had no memory for the least of rings
    Totals totals_;
};

std::string_view to_string(Offload::State state);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DIRECT_OFFLOAD_H
