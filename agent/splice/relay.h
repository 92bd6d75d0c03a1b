// SPDX-License-Identifier: Apache-2.0
// The relay: a thread that holds the ends of connections whose sockets cannot be SMC sockets.
#ifndef SMC_STEER_AGENT_SPLICE_RELAY_H
#define SMC_STEER_AGENT_SPLICE_RELAY_H

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "agent/base/attempts.h"
#include "agent/kernel/netns.h"
#include "agent/splice/context.h"
#include "agent/splice/incoming.h"
#include "agent/splice/outgoing.h"

namespace smc_steer {

// All but what is said to be the thread's own may be called from one other thread.
class Relay {
public:
    static Result<std::unique_ptr<Relay>> start(std::unique_ptr<SpliceHooks> hooks,
                                                SpliceOptions options);
    // Ends every connection it has: programs see connections that were broken off.
    ~Relay();
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    void set_view(std::shared_ptr<const SpliceView> view);
    // `netns`: as Place::make(). Twice is once, also where it failed for good; a shortage is told
    // once.
    Result<void> cover(NetnsId id, UniqueFd netns);
    // Some are to be asked for again: there was no room for them.
    [[nodiscard]] bool short_of_room() const { return attempts_.any_short(); }
    // No others; the connections of those that go live on.
    void keep(const std::map<NetnsId, int>& covered);

    const SpliceStats& stats() const { return stats_; }
    const SpliceHooks& hooks() const { return *hooks_; }
    const SpliceOptions& options() const { return options_; }

private:
    struct Covered;
    // Calls back when something can be read.
    struct Readable : Poller::Watcher {
        explicit Readable(std::function<void()> then_in) : then(std::move(then_in)) {}
        void on_events(std::uint32_t /*events*/) override { then(); }
        std::function<void()> then;
    };

    Relay(std::unique_ptr<SpliceHooks> hooks, SpliceOptions options, Poller poller);
    Result<void> begin();

    // The thread's own.
    void run();
    void tick();
    void post(std::function<void()> work);
    void on_posted();
    void uncover(std::uint64_t cookie);
    Result<void> watch(Covered& covered);
    void on_asked(const splice_event& event);
    void on_ready(Outgoing& outgoing);
    // False: it cannot accept just now.
    bool on_program(Covered& covered, int listener, std::uint16_t family);
    bool on_agent(Covered& covered);
    void on_incoming_end(Incoming& incoming);
    void receive(Covered& covered, UniqueFd wire, const Endpoint& client,
                 std::optional<std::vector<std::uint8_t>> heard);
    // `then`: with the join, when it has ended.
    void join(UniqueFd local, UniqueFd wire, Join::Kind kind,
              const std::function<void(Join&)>& then);
    template <typename T>
    void bury(std::map<T*, std::unique_ptr<T>>& owners, T& one);

    std::unique_ptr<SpliceHooks> hooks_;
    SpliceOptions options_;
    SpliceStats stats_;
    Poller poller_;
    Scratch scratch_;
    Moved moved_;
    WirePool pool_;
    SpliceContext context_;
    UniqueFd posted_fd_;
    std::unique_ptr<Readable> posted_watch_;
    std::unique_ptr<Readable> asked_watch_;
    std::mutex mutex_;  // of what follows, up to the blank line
    std::vector<std::function<void()>> posted_;
    std::shared_ptr<const SpliceView> view_;

    std::map<NetnsId, std::uint64_t> known_;  // cookies; the other thread's own, as the next
    Attempts<NetnsId> attempts_;
    std::map<std::uint16_t, Covered*> by_hold_;
    std::map<std::uint64_t, std::unique_ptr<Covered>> covered_;  // by cookie
    using WayKey = std::array<std::uint16_t, 3>;
    std::map<WayKey, Outgoing*> by_way_;
    std::map<Outgoing*, std::unique_ptr<Outgoing>> outgoing_;
    std::map<Incoming*, std::unique_ptr<Incoming>> incoming_;
    std::map<Join*, std::unique_ptr<Join>> joins_;
    std::uint64_t ticked_ns_ = 0;
    unsigned ticks_ = 0;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_RELAY_H
