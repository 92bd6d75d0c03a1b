// SPDX-License-Identifier: Apache-2.0
#include "flags.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "socket.h"

namespace semantics {

std::string flag_names(unsigned flags) {
    constexpr std::array<std::pair<unsigned, const char*>, 7> kNames = {{
        {POLLIN, "IN"},
        {POLLOUT, "OUT"},
        {POLLPRI, "PRI"},
        {POLLRDHUP, "RDHUP"},
        {POLLERR, "ERR"},
        {POLLHUP, "HUP"},
        {POLLNVAL, "NVAL"},
    }};
    std::string text;
    for (const auto& [flag, name] : kNames) {
        if ((flags & flag) != 0) {
            text += (text.empty() ? "" : "+") + std::string(name);
        }
    }
    return text.empty() ? "none" : text;
}

std::string settled(int fd, const std::string& wanted, int ms) {
    std::string told;
    for (int turn = 0; turn < ms / 20; ++turn) {
        told = flag_names(ready(fd, kAllFlags, 0));
        if (told == wanted) {
            break;
        }
        usleep(20000);
    }
    return told;
}

Watch::Watch(int fd, unsigned events) : epoll_(epoll_create1(EPOLL_CLOEXEC)), fd_(fd) {
    epoll_event event{};
    event.events = events;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

Watch::~Watch() { close(epoll_); }

std::string Watch::wait(int ms) {
    epoll_event event{};
    return flag_names(epoll_wait(epoll_, &event, 1, ms) == 1 ? event.events : 0);
}

void Watch::rearm(unsigned events) {
    epoll_event event{};
    event.events = events;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &event);
}

}  // namespace semantics
