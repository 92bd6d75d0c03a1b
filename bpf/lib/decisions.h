/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the handshake decided, one by one, for whoever listens (smc-policy monitor). Nobody
 * does most of the time, and then a decision costs one lookup more.
 */
#ifndef BPF_DECISIONS_H
#define BPF_DECISIONS_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/events_abi.h>

#include "same_host.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_monitor);
} monitor SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STEER_DECISIONS_BYTES);
} decisions SEC(".maps");

/* `as` is the counter that the decision is counted by. */
static __always_inline void report_decision(const struct sock_common *peer, __u16 server_port,
					    enum steer_counter as)
{
	struct steer_decision *d;
	struct steer_monitor *m;
	struct steer_address a;
	__u32 zero = 0;

	m = bpf_map_lookup_elem(&monitor, &zero);
	if (!m || !m->listeners)
		return;
	if (!peer_address(&a, peer))
		return;
	d = bpf_ringbuf_reserve(&decisions, sizeof(*d), 0);
	if (!d) {
		__sync_fetch_and_add(&m->lost, 1);
		return;
	}
	d->time_ns = bpf_ktime_get_ns();
	d->peer = a;
	d->server_port = server_port;
	d->decision = as;
	d->reserved = 0;
	bpf_ringbuf_submit(d, 0);
}

#endif
