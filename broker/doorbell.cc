// SPDX-License-Identifier: Apache-2.0
#include "broker/doorbell.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/time.h>

#include <csignal>

namespace smc_steer::broker {
namespace {

// While it lives, a call that blocks ends with EINTR after kPatience. The timer repeats: one that
// fires just before the call would be missed.
class Alarm {
public:
    Alarm() {
        struct sigaction action {};
        action.sa_handler = [](int /*signal*/) {};  // no SA_RESTART
        sigaction(SIGALRM, &action, nullptr);
        set(std::chrono::microseconds(kPatience).count());
    }
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;
    ~Alarm() { set(0); }

private:
    static void set(suseconds_t microseconds) {
        itimerval timer{{0, microseconds}, {0, microseconds}};
        setitimer(ITIMER_REAL, &timer, nullptr);
    }
};

bool ready(int fd, short events) {
    pollfd p{fd, events, 0};
    return poll(&p, 1, 0) > 0 && (p.revents & events) != 0;
}

}  // namespace

Result<UniqueFd> make_doorbell() {
    UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) {
        return fail_errno("eventfd");
    }
    return fd;
}

bool ring_doorbell(int fd) {
    if (!ready(fd, POLLOUT)) {
        return true;
    }
    Alarm alarm;
    return eventfd_write(fd, 1) == 0 || errno != EINTR;
}

bool reset_doorbell(int fd) { return fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && clear_doorbell(fd); }

bool clear_doorbell(int fd) {
    if (!ready(fd, POLLIN)) {
        return true;
    }
    Alarm alarm;
    eventfd_t count = 0;
    return eventfd_read(fd, &count) == 0 || errno != EINTR;
}

}  // namespace smc_steer::broker
