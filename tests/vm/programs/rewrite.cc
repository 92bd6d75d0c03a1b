// SPDX-License-Identifier: Apache-2.0
// rewrite SERVICE PORT BACKEND PORT: connect() to the one becomes connect() to the other, in all
// control groups, for as long as this program runs.
#include "../../bpf/rewrite.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "rewrite.skel.h"

namespace {

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

__be32 address(const char* text) {
    in_addr parsed{};
    if (inet_pton(AF_INET, text, &parsed) != 1) {
        std::fprintf(stderr, "rewrite: %s is not an address\n", text);
        std::exit(2);
    }
    return parsed.s_addr;
}

__be16 port(const char* text) { return htons(static_cast<std::uint16_t>(std::atoi(text))); }

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: rewrite SERVICE PORT BACKEND PORT\n");
        return 2;
    }
    rewrite_rule rule{address(argv[1]), address(argv[3]), port(argv[2]), port(argv[4])};
    std::size_t size = 0;
    const void* elf = ::rewrite::elf_bytes(&size);
    bpf_object* object = bpf_object__open_mem(elf, size, nullptr);
    if (!object || bpf_object__load(object) != 0) {
        die("rewrite: cannot load");
    }
    std::uint32_t zero = 0;
    int rules = bpf_object__find_map_fd_by_name(object, "rules");
    if (bpf_map_update_elem(rules, &zero, &rule, BPF_ANY) != 0) {
        die("rewrite: cannot fill the map");
    }
    int root = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bpf_program* program = bpf_object__find_program_by_name(object, "rewrite_connect");
    if (root < 0 || !bpf_program__attach_cgroup(program, root)) {
        die("rewrite: cannot attach to /sys/fs/cgroup");
    }
    std::puts("rewriting");
    std::fflush(stdout);
    pause();
}
