// SPDX-License-Identifier: Apache-2.0
// What poll() and epoll tell, as words: "IN+OUT+RDHUP".
#pragma once

#include <poll.h>

#include <string>

namespace semantics {

constexpr short kAllFlags = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;

std::string flag_names(unsigned flags);  // poll's and epoll's are the same numbers; "none"

// poll() again and again until it says `wanted`; what it said last, when time is over.
std::string settled(int fd, const std::string& wanted, int ms = 1500);

// One descriptor in an epoll of its own.
class Watch {
public:
    Watch(int fd, unsigned events);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    std::string wait(int ms = 1500);  // one event's flags, "none" when time is over
    void rearm(unsigned events);

private:
    int epoll_;
    int fd_;
};

constexpr int kNothingMs = 60;  // long enough to see that nothing comes

// What poll says of a connection that was reset.
constexpr const char* kGone = "IN+OUT+RDHUP+ERR+HUP";

}  // namespace semantics
