// SPDX-License-Identifier: Apache-2.0
// epoll, edge-triggered, for the relay's own thread: thousands of descriptors that are all alike,
// which agent/base/event_loop.h is not for.
#ifndef SMC_STEER_AGENT_SPLICE_POLLER_H
#define SMC_STEER_AGENT_SPLICE_POLLER_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer {

class Poller {
public:
    // Told of what happens to a descriptor. It may be destroyed at any time but inside turn(),
    // where bury() takes it.
    class Watcher {
    public:
        Watcher() = default;
        Watcher(const Watcher&) = delete;
        Watcher& operator=(const Watcher&) = delete;
        virtual ~Watcher() = default;
        // EPOLLIN and so on; 0: called again because again() was asked for.
        virtual void on_events(std::uint32_t events) = 0;

    private:
        friend class Poller;
        bool buried_ = false;
    };

    static Result<Poller> create();

    // Edge-triggered for reading, writing, urgent bytes and the peer's end. Closing the descriptor
    // ends it only if nobody else has the file: the kernel may (agent/kernel/join_socket.h).
    Result<void> watch(int fd, Watcher& watcher);
    // For reading alone, as long as there is something (level-triggered).
    Result<void> watch_readable(int fd, Watcher& watcher);
    void unwatch(int fd);
    // Leaves one of watch_readable() alone for a while: what is there cannot be taken just now.
    void rest(int fd, Watcher& watcher);
    // Calls it in the next turn, whatever happens to its descriptor.
    void again(Watcher& watcher) { again_.push_back(&watcher); }
    // It is called no more, and destroyed at the end of the turn.
    void bury(std::unique_ptr<Watcher> watcher);

    void turn(std::chrono::milliseconds most);
    // After the last turn: nobody is called any more.
    void sweep() {
        again_.clear();
        resting_.clear();
        graves_.clear();
    }

private:
    explicit Poller(UniqueFd fd) : fd_(std::move(fd)) {}
    Result<void> add(int fd, std::uint32_t events, Watcher& watcher);

    UniqueFd fd_;
    struct Resting {
        int fd;
        Watcher* watcher;
        std::chrono::steady_clock::time_point until;
    };
    void wake();
    std::vector<Watcher*> again_;
    std::vector<Resting> resting_;
    std::vector<std::unique_ptr<Watcher>> graves_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_POLLER_H
