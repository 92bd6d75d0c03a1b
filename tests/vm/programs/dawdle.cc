// SPDX-License-Identifier: Apache-2.0
// dawdle [--locks] NAME: threads of that name take their time on the way into TCP
// (tests/bpf/dawdle.h), until this program is told to end. Then it prints how often they did. With
// --locks: before they take a spin lock that keeps softirqs away, and all whose name begins so.
#include "../../bpf/dawdle.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dawdle.skel.h"

namespace {

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
    const bool locks = argc > 1 && std::strcmp(argv[1], "--locks") == 0;
    if (argc != 2 + locks) {
        std::fprintf(stderr, "usage: dawdle [--locks] NAME\n");
        return 2;
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, nullptr);
    std::size_t size = 0;
    const void* elf = ::dawdle::elf_bytes(&size);
    bpf_object* object = bpf_object__open_mem(elf, size, nullptr);
    if (!object) {
        die("dawdle: cannot open");
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
        const bool of_locks = std::strcmp(bpf_program__name(program), "dawdle_lock") == 0;
        bpf_program__set_autoload(program, of_locks == locks);
    }
    if (bpf_object__load(object) != 0) {
        die("dawdle: cannot load");
    }
    std::uint32_t zero = 0;
    dawdle_state state{};
    std::strncpy(state.name, argv[1 + locks], sizeof(state.name) - 1);
    state.one_in = locks ? 1 : DAWDLE_ONE_IN;
    state.ns = locks ? DAWDLE_LOCKS_NS : DAWDLE_NS;
    int map = bpf_object__find_map_fd_by_name(object, "state");
    if (bpf_map_update_elem(map, &zero, &state, BPF_ANY) != 0) {
        die("dawdle: cannot fill the map");
    }
    bpf_object__for_each_program(program, object) {
        if (bpf_program__autoload(program) && !bpf_program__attach(program)) {
            die("dawdle: cannot attach");
        }
    }
    std::puts("dawdling");
    std::fflush(stdout);
    int signal = 0;
    sigwait(&ends, &signal);
    if (bpf_map_lookup_elem(map, &zero, &state) != 0) {
        die("dawdle: cannot read the map");
    }
    std::printf("%llu\n", static_cast<unsigned long long>(state.count));
    return 0;
}
