// SPDX-License-Identifier: Apache-2.0
// Filters at tc ingress, as kernels before 6.6 want them, in a network namespace of its own. Needs
// what the agent needs, and a kernel that has such filters (the stock one of guests does: case
// splice-leaves-nothing).
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/wait.h>

#include <cstdlib>
#include <functional>

#include "agent/base/unique_fd.h"
#include "agent/kernel/bpf_object.h"
#include "agent/kernel/tc_filter.h"

namespace smc_steer {
namespace {

constexpr int kCannot = 77;

UniqueFd lets_all_pass() {
    const bpf_insn program[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, -1},
                                {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    return UniqueFd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "all", "GPL", program, 2, nullptr));
}

bool has_clsact() { return std::system("tc qdisc show dev veth0 | grep -q clsact") == 0; }

// In a process that has a device of its own; its exit code is 0 if all was as it should be.
int apart(const std::function<bool(int device, int program)>& act) {
    const pid_t pid = fork();
    if (pid == 0) {
        bpf_log_init();
        if (unshare(CLONE_NEWNET) != 0 ||
            std::system("ip link add veth0 type veth peer name veth1") != 0) {
            _exit(kCannot);
        }
        const int device = static_cast<int>(if_nametoindex("veth0"));
        auto program = lets_all_pass();
        auto tried = program ? add_filter(device, program.get()) : Result<bool>(fail("no BPF"));
        if (!tried) {
            _exit(kCannot);
        }
        remove_filter(device, true);
        _exit(act(device, program.get()) ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define EXPECT_APART(...)                              \
    do {                                               \
        const int code = apart(__VA_ARGS__);           \
        if (code == kCannot) {                         \
            GTEST_SKIP() << "no tc filters to be had"; \
        }                                              \
        EXPECT_EQ(code, 0);                            \
    } while (false)

TEST(TcFilter, TheQdiscGoesWithIt) {
    EXPECT_APART([](int device, int program) {
        auto ours = add_filter(device, program);
        const bool there = has_clsact();
        remove_filter(device, *ours);
        return *ours && there && !has_clsact();
    });
}

TEST(TcFilter, AnothersQdiscStays) {
    EXPECT_APART([](int device, int program) {
        const bool made = std::system("tc qdisc add dev veth0 clsact") == 0;
        auto ours = add_filter(device, program);
        remove_filter(device, *ours);
        return made && !*ours && has_clsact();
    });
}

TEST(TcFilter, AnothersFilterKeepsTheQdisc) {
    EXPECT_APART([](int device, int program) {
        auto ours = add_filter(device, program);
        bpf_tc_hook egress{};
        egress.sz = sizeof(egress);
        egress.ifindex = device;
        egress.attach_point = BPF_TC_EGRESS;
        bpf_tc_opts other{};
        other.sz = sizeof(other);
        other.prog_fd = program;
        other.handle = other.priority = 1;
        const bool added = bpf_tc_attach(&egress, &other) == 0;
        remove_filter(device, *ours);
        return added && has_clsact();
    });
}

TEST(TcFilter, WhatAKilledAgentLeftIsTakenOverAndTakenAway) {
    EXPECT_APART([](int device, int program) {
        auto killed = add_filter(device, program);
        auto next = add_filter(device, program);
        remove_filter(device, *next);
        const bool gone = !has_clsact();
        return *killed && *next && gone;
    });
}

TEST(TcFilter, WhatAKilledAgentLeftIsSwept) {
    EXPECT_APART([](int device, int program) {
        auto killed = add_filter(device, program);
        return *killed && sweep_filters() == 1 && !has_clsact() && sweep_filters() == 0;
    });
}

}  // namespace
}  // namespace smc_steer
