// SPDX-License-Identifier: Apache-2.0
// sd-event (sd-event(3)) with owners. One thread: sources, callbacks and exit() belong to the
// thread that calls run().
#ifndef SMC_STEER_AGENT_BASE_EVENT_LOOP_H
#define SMC_STEER_AGENT_BASE_EVENT_LOOP_H

#include <sys/inotify.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

// Keeps one source in the loop; its destruction takes the source out. A callback may destroy its
// own handle. A handle may outlive the loop's run(), not the descriptor it watches.
class EventSource {
public:
    EventSource();
    EventSource(EventSource&&) noexcept;
    EventSource& operator=(EventSource&&) noexcept;
    EventSource(const EventSource&) = delete;
    EventSource& operator=(const EventSource&) = delete;
    ~EventSource();

    [[nodiscard]] bool active() const { return state_ != nullptr; }
    void reset();

    // on_io() sources only: watch for other events from now on (EPOLLIN | EPOLLOUT ...).
    Result<void> set_io_events(uint32_t events);

    struct State;

private:
    friend class EventLoop;
    explicit EventSource(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
};

class EventLoop {
public:
    static Result<EventLoop> create();

    // Serves until exit(); returns exit()'s code.
    Result<int> run();
    void exit(int code);

    // `events` and the callback's argument: EPOLLIN, EPOLLOUT, ... The descriptor stays the
    // caller's and must be closed after the handle is gone.
    Result<EventSource> on_io(int fd, uint32_t events, std::function<void(uint32_t)> callback);

    // First call one period from now. Late calls are not made up for.
    Result<EventSource> every(std::chrono::microseconds period, std::function<void()> callback);
    Result<EventSource> after(std::chrono::microseconds delay, std::function<void()> callback);

    // Blocks the signal for the calling thread (threads made later inherit that).
    Result<EventSource> on_signal(int signal, std::function<void()> callback);

    // `mask`: IN_*, see inotify(7). The callback's event is valid during the call only. IN_IGNORED
    // is delivered too: the path is gone and so is the watch.
    Result<EventSource> on_inotify(const std::string& path, uint32_t mask,
                                   std::function<void(const inotify_event&)> callback);

private:
    struct Unref {
        void operator()(sd_event* event) const { sd_event_unref(event); }
    };
    explicit EventLoop(sd_event* event) : event_(event) {}
    std::unique_ptr<sd_event, Unref> event_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_EVENT_LOOP_H
