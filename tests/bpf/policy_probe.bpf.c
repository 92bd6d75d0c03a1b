// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf/lib/match.h where BPF_PROG_TEST_RUN reaches it. Value: 1 for yes, 0 for no, 2 for no
 * policy.
 */
#include "policy_probe.h"

#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

/* some of these only because the agent wants to find their maps */
#include "lib/connections.h"
#include "lib/lengths.h"
#include "lib/match.h"
#include "lib/same_host.h"
#include "lib/steered.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline bool match_flow(struct match* m, const struct steer_policy* p,
                                       const struct probe_flow* f) {
    struct steer_chain* chain = NULL;
    int i;

    if (p->has & STEER_HAS_CGROUPS) {
        for (i = 0; i < PROBE_CGROUPS && !chain && f->cgroup[i]; i++)
            chain = subject_chain(m->slot, STEER_SUBJECT_CGROUP, f->cgroup[i]);
        if (!match_add(&m->workload, chain)) return false;
    }
    if (p->has & STEER_HAS_UIDS &&
        !match_add(&m->workload, subject_chain(m->slot, STEER_SUBJECT_UID, f->uid)))
        return false;
    return !(p->has & STEER_HAS_NETNS) ||
           match_add(&m->workload, subject_chain(m->slot, STEER_SUBJECT_NETNS, f->netns));
}

SEC("tc")
int probe(struct __sk_buff* skb) {
    struct steer_address peer;
    struct steer_policy* p;
    struct probe_flow f;
    struct match m;

    if (bpf_skb_load_bytes(skb, PROBE_OFFSET, &f, sizeof(f))) return 2;
    p = match_begin(&m, f.port);
    if (!p) return 2;
    __builtin_memcpy(peer.in6, f.peer, sizeof(peer.in6));
    return match_peer(&m, p, &peer) && match_flow(&m, p, &f) &&
           match_allows(&m, p, f.way ? STEER_IN : STEER_OUT);
}
