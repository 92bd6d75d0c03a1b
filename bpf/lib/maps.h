/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of include/smc_steer/policy_abi.h and events_abi.h. Each object declares those
 * it uses; the agent makes all objects share one map of each name.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(enum steer_counter which)
{
	__u32 key = which;
	__u64 *n = bpf_map_lookup_elem(&counters, &key);

	if (n)
		(*n)++;
}

/* NULL when the agent is gone or hangs: nothing new is steered then. */
static __always_inline const struct steer_control *living_agent(void)
{
	__u32 zero = 0;
	struct steer_control *c = bpf_map_lookup_elem(&control, &zero);

	return c && bpf_ktime_get_ns() < c->lease_until_ns ? c : NULL;
}

static __always_inline bool agent_alive(void)
{
	return living_agent() != NULL;
}

/* The agent's own sockets are left alone. */
static __always_inline bool is_agent(void)
{
	__u32 zero = 0;
	struct steer_control *c = bpf_map_lookup_elem(&control, &zero);

	return c && c->agent_tgid == (__u32)(bpf_get_current_pid_tgid() >> 32);
}

#endif
