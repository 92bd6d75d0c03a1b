/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control groups whose sockets become SMC sockets, or do not.
 */
#ifndef BPF_STEERED_H
#define BPF_STEERED_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/policy_abi.h>

#include "kernel_types.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_WORKLOADS_MAX);
	__type(key, __u64);
	__type(value, __u8);
} workloads SEC(".maps");

/* From the control group upwards: a pod that opted out is nearer than the cgroup of all pods. */
static __always_inline bool cgroup_selected(struct cgroup *cgroup)
{
	struct cgroup_subsys_state *css;
	__u8 *what;
	__u64 id;
	int level;

	if (!cgroup)
		return false;
	css = &cgroup->self;
	for (level = 0; level < STEER_CGROUP_DEPTH && css; level++) {
		cgroup = css->cgroup;
		if (!cgroup)
			return false;
		id = cgroup->kn->id;
		what = bpf_map_lookup_elem(&workloads, &id);
		if (what)
			return *what == STEER_WORKLOAD_STEER;
		css = css->parent;
	}
	return false;
}

#endif
