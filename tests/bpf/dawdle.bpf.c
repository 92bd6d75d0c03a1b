// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that take their time on the way into TCP, or to a lock, as one does that is preempted
 * there: what happens meanwhile has to do without it.
 */
#include "dawdle.h"

#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct dawdle_state);
} state SEC(".maps");

static long until(__u32 index, void* deadline) { return bpf_ktime_get_ns() >= *(__u64*)deadline; }

static void dawdle(void) {
    __u32 zero = 0;
    struct dawdle_state* whose = bpf_map_lookup_elem(&state, &zero);
    char comm[16] = {};
    __u64 deadline;

    if (!whose) return;
    bpf_get_current_comm(comm, sizeof(comm));
    for (int i = 0; i < 16 && whose->name[i]; i++)
        if (comm[i] != whose->name[i]) return;
    if (whose->one_in > 1 && bpf_get_prandom_u32() % whose->one_in) return;
    __sync_fetch_and_add(&whose->count, 1);
    deadline = bpf_ktime_get_ns() + whose->ns;
    bpf_loop(1 << 23, until, &deadline, 0);
}

SEC("fentry/tcp_sendmsg")
int dawdle_sendmsg(void* ctx) {
    dawdle();
    return 0;
}

SEC("fentry/tcp_recvmsg")
int dawdle_recvmsg(void* ctx) {
    dawdle();
    return 0;
}

SEC("fentry/tcp_close")
int dawdle_close(void* ctx) {
    dawdle();
    return 0;
}

SEC("fentry/_raw_spin_lock_bh")
int dawdle_lock(void* ctx) {
    dawdle();
    return 0;
}
