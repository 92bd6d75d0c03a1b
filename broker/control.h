// SPDX-License-Identifier: Apache-2.0
// The control socket. A client sends one line, gets an answer and the end: "status" is answered
// with to_json()'s text, anything else with "error: ...".
#ifndef SMC_STEER_BROKER_CONTROL_H
#define SMC_STEER_BROKER_CONTROL_H

#include <functional>
#include <list>
#include <string>
#include <string_view>

#include "agent/base/event_loop.h"
#include "broker/listener.h"

namespace smc_steer::broker {

constexpr size_t kMaxRequest = 64;

// Nothing: not a whole line yet. `status` is called when it is asked for.
std::optional<std::string> answer_request(std::string_view received,
                                          const std::function<std::string()>& status);

// Serves at most kMaxSessions at a time, each for kSessionTime: who holds a session without asking
// keeps others waiting for no longer than that.
class Control {
public:
    static constexpr size_t kMaxSessions = 16;
    static constexpr std::chrono::seconds kSessionTime{5};

    // All must outlive it.
    Control(EventLoop& loop, Listener& listener, std::function<std::string()> status);
    Result<void> start();

private:
    struct Session {
        UniqueFd socket;
        std::string received;
        std::string answer;
        EventSource source;
        EventSource timeout;
    };
    using Sessions = std::list<Session>;
    Result<void> listen();
    void on_connection();
    void on_session(Sessions::iterator session);
    void end(Sessions::iterator session);

    EventLoop& loop_;
    Listener& listener_;
    std::function<std::string()> status_;
    Sessions sessions_;
    EventSource listen_source_;
};

// The client: a status as JSON from the broker behind `path`, or one line about what is wrong.
Result<std::string> ask_status(const std::string& path);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_CONTROL_H
