/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long connections to an endpoint are: SMC has a handshake of its own after TCP's, which a
 * short connection pays for and gets nothing back. Learned from connections that were closed,
 * SMC-D and TCP alike, so that an endpoint comes back when its connections grow.
 */
#ifndef BPF_LENGTHS_H
#define BPF_LENGTHS_H

#include <bpf/bpf_helpers.h>

#include "maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STEER_ENDPOINTS_MAX);
	__type(key, struct steer_endpoint);
	__type(value, struct steer_lengths);
} endpoints SEC(".maps");

static __always_inline void endpoint_of(struct steer_endpoint *e, const struct steer_address *a,
					__u16 port)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->address = *a;
	e->port = port;
}

static __always_inline bool too_short(const struct steer_control *agent,
				      const struct steer_address *a, __u16 port)
{
	struct steer_lengths *l;
	struct steer_endpoint e;

	if (!agent->short_bytes)
		return false;
	endpoint_of(&e, a, port);
	l = bpf_map_lookup_elem(&endpoints, &e);
	return l && l->back;
}

/* CPUs may race here and one of them lose its point: a score is an estimate. */
static __always_inline void learn_length(const struct steer_control *agent,
					 const struct steer_address *a, __u16 port, __u64 bytes,
					 __u64 lifetime_ns)
{
	struct steer_lengths *l;
	struct steer_endpoint e;
	bool is_short;
	__u32 score;

	endpoint_of(&e, a, port);
	l = bpf_map_lookup_elem(&endpoints, &e);
	if (!l) {
		struct steer_lengths none = {};

		bpf_map_update_elem(&endpoints, &e, &none, BPF_NOEXIST);
		l = bpf_map_lookup_elem(&endpoints, &e);
		if (!l)
			return;
	}
	is_short = bytes < agent->short_bytes && lifetime_ns < agent->short_ns;
	__sync_fetch_and_add(&l->connections, 1);
	__sync_fetch_and_add(&l->short_ones, is_short);
	__sync_fetch_and_add(&l->bytes, bytes);
	__sync_fetch_and_add(&l->lifetime_ns, lifetime_ns);

	score = l->score;
	if (is_short)
		score = score < STEER_SCORE_MOST ? score + 1 : STEER_SCORE_MOST;
	else
		score = score > STEER_SCORE_LONG ? score - STEER_SCORE_LONG : 0;
	l->score = score;
	if (score >= STEER_SCORE_BACK)
		l->back = 1;
	else if (score == 0)
		l->back = 0;
}

#endif
