// SPDX-License-Identifier: GPL-2.0-only
/*
 * A service whose address is rewritten in connect(), as socket load balancers do it: the SYN
 * carries the backend's address from the start.
 */
#include "rewrite.h"

#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct rewrite_rule);
} rules SEC(".maps");

SEC("cgroup/connect4")
int rewrite_connect(struct bpf_sock_addr* ctx) {
    __u32 zero = 0;
    struct rewrite_rule* rule = bpf_map_lookup_elem(&rules, &zero);

    if (rule && ctx->user_ip4 == rule->service && ctx->user_port == rule->service_port) {
        ctx->user_ip4 = rule->backend;
        ctx->user_port = rule->backend_port;
    }
    return 1;
}
