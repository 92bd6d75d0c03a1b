// SPDX-License-Identifier: Apache-2.0
// What holds a pod's namespaces: waits until it is ended, and reaps what is left to it.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace {

void reap(int /*signal*/) {
    int saved = errno;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    errno = saved;
}

void end(int /*signal*/) { _exit(0); }

}  // namespace

int main() {
    // As process 1 it gets no signal that it has not asked for.
    for (int signal : {SIGINT, SIGTERM}) {
        std::signal(signal, end);
    }
    std::signal(SIGCHLD, reap);
    for (;;) {
        pause();
    }
}
