// SPDX-License-Identifier: Apache-2.0
#include "agent/base/event_loop.h"

#include <csignal>
#include <ctime>
#include <utility>

namespace smc_steer {

// What a C callback gets as its userdata. A callback may destroy its own EventSource, so every
// trampoline holds a reference of its own while user code runs.
struct EventSource::State : std::enable_shared_from_this<EventSource::State> {
    sd_event_source* source = nullptr;
    std::function<void(uint32_t)> on_io;
    std::function<void()> on_call;
    std::function<void(const inotify_event&)> on_inotify;
    std::chrono::microseconds period{0};  // 0: a timer that fires once

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { sd_event_source_disable_unref(source); }
};

namespace {

using State = EventSource::State;

int io_trampoline(sd_event_source* /*source*/, int /*fd*/, uint32_t events,
                  void* userdata) noexcept {
    auto state = static_cast<State*>(userdata)->shared_from_this();
    state->on_io(events);
    return 0;
}

int timer_trampoline(sd_event_source* source, uint64_t /*usec*/, void* userdata) noexcept {
    auto state = static_cast<State*>(userdata)->shared_from_this();
    if (state->period.count() > 0) {
        int r = sd_event_source_set_time_relative(source, state->period.count());
        if (r < 0) {
            return r;
        }
        r = sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (r < 0) {
            return r;
        }
    }
    state->on_call();
    return 0;
}

int signal_trampoline(sd_event_source* /*source*/, const signalfd_siginfo* /*info*/,
                      void* userdata) noexcept {
    auto state = static_cast<State*>(userdata)->shared_from_this();
    state->on_call();
    return 0;
}

int inotify_trampoline(sd_event_source* /*source*/, const inotify_event* event,
                       void* userdata) noexcept {
    auto state = static_cast<State*>(userdata)->shared_from_this();
    state->on_inotify(*event);
    return 0;
}

Result<std::shared_ptr<State>> add_timer(sd_event* event, std::chrono::microseconds delay,
                                         std::chrono::microseconds period,
                                         std::function<void()> callback) {
    auto state = std::make_shared<State>();
    state->on_call = std::move(callback);
    state->period = period;
    // Accuracy 1 ms: sd-event's default of 250 ms is for timers nobody waits for.
    int r = sd_event_add_time_relative(event, &state->source, CLOCK_MONOTONIC, delay.count(), 1000,
                                       timer_trampoline, state.get());
    if (r < 0) {
        return fail_errno(-r, "cannot add a timer");
    }
    return state;
}

}  // namespace

EventSource::EventSource() = default;
EventSource::EventSource(std::shared_ptr<State> state) : state_(std::move(state)) {}
EventSource::EventSource(EventSource&&) noexcept = default;

EventSource& EventSource::operator=(EventSource&& other) noexcept {
    if (this != &other) {
        reset();
        state_ = std::move(other.state_);
    }
    return *this;
}

EventSource::~EventSource() { reset(); }

void EventSource::reset() {
    if (auto state = std::exchange(state_, nullptr)) {
        // Disabled at once: the state itself may live on until a running callback returns.
        sd_event_source_set_enabled(state->source, SD_EVENT_OFF);
        sd_event_source_disable_unref(std::exchange(state->source, nullptr));
    }
}

Result<void> EventSource::set_io_events(uint32_t events) {
    int r = sd_event_source_set_io_events(state_->source, events);
    if (r < 0) {
        return fail_errno(-r, "cannot change the events of a descriptor");
    }
    return {};
}

Result<EventLoop> EventLoop::create() {
    sd_event* event = nullptr;
    int r = sd_event_new(&event);
    if (r < 0) {
        return fail_errno(-r, "cannot make an event loop");
    }
    return EventLoop(event);
}

Result<int> EventLoop::run() {
    int r = sd_event_loop(event_.get());
    if (r < 0) {
        return fail_errno(-r, "event loop");
    }
    return r;
}

void EventLoop::exit(int code) { sd_event_exit(event_.get(), code); }

Result<EventSource> EventLoop::on_io(int fd, uint32_t events,
                                     std::function<void(uint32_t)> callback) {
    auto state = std::make_shared<State>();
    state->on_io = std::move(callback);
    int r = sd_event_add_io(event_.get(), &state->source, fd, events, io_trampoline, state.get());
    if (r < 0) {
        return fail_errno(-r, "cannot watch descriptor {}", fd);
    }
    return EventSource(std::move(state));
}

Result<EventSource> EventLoop::every(std::chrono::microseconds period,
                                     std::function<void()> callback) {
    return add_timer(event_.get(), period, period, std::move(callback))
        .map([](std::shared_ptr<State> state) { return EventSource(std::move(state)); });
}

Result<EventSource> EventLoop::after(std::chrono::microseconds delay,
                                     std::function<void()> callback) {
    return add_timer(event_.get(), delay, std::chrono::microseconds{0}, std::move(callback))
        .map([](std::shared_ptr<State> state) { return EventSource(std::move(state)); });
}

Result<EventSource> EventLoop::on_signal(int signal, std::function<void()> callback) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    int err = pthread_sigmask(SIG_BLOCK, &set, nullptr);
    if (err != 0) {
        return fail_errno(err, "cannot block signal {}", signal);
    }
    auto state = std::make_shared<State>();
    state->on_call = std::move(callback);
    int r =
        sd_event_add_signal(event_.get(), &state->source, signal, signal_trampoline, state.get());
    if (r < 0) {
        return fail_errno(-r, "cannot watch signal {}", signal);
    }
    return EventSource(std::move(state));
}

Result<EventSource> EventLoop::on_inotify(const std::string& path, uint32_t mask,
                                          std::function<void(const inotify_event&)> callback) {
    auto state = std::make_shared<State>();
    state->on_inotify = std::move(callback);
    int r = sd_event_add_inotify(event_.get(), &state->source, path.c_str(), mask,
                                 inotify_trampoline, state.get());
    if (r < 0) {
        return fail_errno(-r, "cannot watch {}", path);
    }
    return EventSource(std::move(state));
}

}  // namespace smc_steer
