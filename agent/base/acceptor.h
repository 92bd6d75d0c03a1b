// SPDX-License-Identifier: Apache-2.0
// A listening socket in the loop, for as long as there is something to accept with.
#ifndef SMC_STEER_AGENT_BASE_ACCEPTOR_H
#define SMC_STEER_AGENT_BASE_ACCEPTOR_H

#include <cerrno>
#include <chrono>
#include <functional>

#include "agent/base/event_loop.h"
#include "agent/base/result.h"

namespace smc_steer {

// accept() that takes no descriptor, for want of one or of memory, leaves the connection in the
// backlog: who is told of it by level is told again at once, for ever. This long nobody is told.
inline constexpr std::chrono::milliseconds kAcceptPause{500};

// Of accept(): there is nobody (any more), which is no failure.
inline bool nobody_came(int error) {
    return error == EAGAIN || error == EINTR || error == ECONNABORTED;
}

class Acceptor {
public:
    // Takes what has come. An error: it could not, and is asked again after a pause; the first of
    // a row is logged.
    using Accept = std::function<Result<void>()>;

    Acceptor() = default;
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;

    // `listener` stays the caller's, and has to be closed after stop().
    Result<void> start(EventLoop& loop, int listener, Accept accept);
    void stop();
    [[nodiscard]] bool active() const { return came_.active() || pause_.active(); }

private:
    Result<void> watch();
    void on_came();
    void pause();

    EventLoop* loop_ = nullptr;
    int listener_ = -1;
    Accept accept_;
    bool complained_ = false;
    EventSource came_;
    EventSource pause_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_ACCEPTOR_H
