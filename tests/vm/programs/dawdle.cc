// SPDX-License-Identifier: Apache-2.0
// dawdle NAME: threads of that name take their time on the way into TCP (tests/bpf/dawdle.h), until
// this program is told to end. Then it prints how many did.
#include <bpf/libbpf.h>
#include <signal.h>

#include <cstdio>
#include <cstring>

#include "dawdle.skel.h"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: dawdle NAME\n");
        return 2;
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    dawdle* skeleton = dawdle::open();
    if (skeleton) {
        std::strncpy(const_cast<char*>(skeleton->rodata->name), argv[1],
                     sizeof(skeleton->rodata->name) - 1);
    }
    if (!skeleton || dawdle::load(skeleton) != 0 || dawdle::attach(skeleton) != 0) {
        std::perror("dawdle");
        return 1;
    }
    std::puts("dawdling");
    std::fflush(stdout);
    int signal = 0;
    sigwait(&set, &signal);
    std::printf("%llu\n", static_cast<unsigned long long>(skeleton->bss->dawdled));
    dawdle::destroy(skeleton);
    return 0;
}
