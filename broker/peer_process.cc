// SPDX-License-Identifier: Apache-2.0
#include "broker/peer_process.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>

// Linux 6.5; newer than Debian 12's headers.
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace smc_steer::broker {
namespace {

UniqueFd open_pidfd(pid_t pid) {
    return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

// proc(5): field 22, counted from the ')' that ends a name with anything in it. 0: not readable.
uint64_t start_time(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) {
        return 0;
    }
    std::istringstream fields(text.substr(name_end + 1));
    std::string skipped;
    for (int field = 3; field < 22; ++field) {
        fields >> skipped;
    }
    uint64_t ticks = 0;
    fields >> ticks;
    return ticks;
}

}  // namespace

Result<PeerProcess> peer_of(int socket) {
    ucred credentials{};
    socklen_t size = sizeof(credentials);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return fail_errno("SO_PEERCRED");
    }
    PeerProcess process;
    process.pid = credentials.pid;
    process.uid = credentials.uid;
    if (process.pid > 0) {
        int pidfd = -1;
        size = sizeof(pidfd);
        if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) {
            process.pidfd.reset(pidfd);
        } else {
            process.pidfd = open_pidfd(process.pid);
        }
        process.started = start_time(process.pid);
    }
    return process;
}

Liveness find_process(pid_t pid, uint64_t started, UniqueFd& pidfd) {
    if (pid <= 0) {
        return Liveness::kUnknown;
    }
    // The descriptor first: from then on the pid cannot become somebody else's unnoticed.
    pidfd = open_pidfd(pid);
    if (!pidfd) {
        return errno == ESRCH ? Liveness::kGone : Liveness::kUnknown;
    }
    uint64_t now = start_time(pid);
    if (started != 0 && now != 0 && now != started) {
        pidfd.reset();
        return Liveness::kGone;
    }
    return Liveness::kThere;
}

}  // namespace smc_steer::broker
