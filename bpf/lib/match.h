/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the rules say about a connection. Work is bounded by how deep the networks and the
 * control groups of the rules nest, not by how many rules there are: one lookup per network and
 * workload of the rules that hold this connection, and a binary search of ports for each pair.
 */
#ifndef BPF_MATCH_H
#define BPF_MATCH_H

#include <bpf/bpf_helpers.h>

#include "maps.h"

/* sizes, not types: clang 14 leaves types that are named only here incomplete */
struct policy_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct steer_policy));
};

struct peers_table {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_SUBJECTS_MAX);
	__uint(key_size, sizeof(struct steer_prefix));
	__uint(value_size, sizeof(struct steer_chain));
};

struct subjects_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_SUBJECTS_MAX);
	__uint(key_size, sizeof(struct steer_subject));
	__uint(value_size, sizeof(struct steer_chain));
};

struct scopes_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_SPANS_MAX);
	__uint(key_size, sizeof(struct steer_scope));
	__uint(value_size, sizeof(struct steer_spans));
};

struct spans_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct steer_span));
};

#define POLICY_MAP(name, inner)                           \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, STEER_POLICY_SLOTS);  \
		__type(key, __u32);                       \
		__array(values, struct inner);            \
	} name SEC(".maps")

POLICY_MAP(policy, policy_table);
POLICY_MAP(policy_peers, peers_table);
POLICY_MAP(policy_subjects, subjects_table);
POLICY_MAP(policy_scopes, scopes_table);
POLICY_MAP(policy_spans, spans_table);

#define MATCH_IDS 16 /* a power of two, for the verifier; STEER_CHAIN_MAX and a few more */

/* Element 0 is 0, which stands for anybody. */
struct match_ids {
	__u32 used;
	__u32 id[MATCH_IDS];
};

/* Of one connection: the ids of what holds it, and what was found so far. */
struct match {
	__u32 slot;
	__u32 bits;
	__u32 port;
	struct match_ids workload;
	struct match_ids peer;
};

struct port_search {
	__u32 slot;
	__u32 port;
	__u32 first;
	__u32 end;
	__u32 bits;
};

static __always_inline __u32 policy_slot(void)
{
	__u32 zero = 0;
	struct steer_control *c = bpf_map_lookup_elem(&control, &zero);

	return c ? *(volatile __u32 *)&c->policy_slot : STEER_POLICY_NONE;
}

static __always_inline struct steer_policy *policy_of(__u32 slot)
{
	__u32 zero = 0;
	void *table = bpf_map_lookup_elem(&policy, &slot);

	return table ? bpf_map_lookup_elem(table, &zero) : NULL;
}

/* For a connection to `port` that nothing is known of yet: the rules in force, or NULL: there are none,
 * which means no.
 */
static __always_inline struct steer_policy *match_begin(struct match *m, __u16 port)
{
	__builtin_memset(m, 0, sizeof(*m));
	m->port = port;
	m->workload.used = 1;
	m->peer.used = 1;
	m->slot = policy_slot();
	return m->slot == STEER_POLICY_NONE ? NULL : policy_of(m->slot);
}

static __always_inline struct steer_chain *subject_chain(__u32 slot, __u64 kind, __u64 number)
{
	struct steer_subject s;
	void *table = bpf_map_lookup_elem(&policy_subjects, &slot);

	__builtin_memset(&s, 0, sizeof(s));
	s.kind = kind;
	s.number = number;
	return table ? bpf_map_lookup_elem(table, &s) : NULL;
}

static __always_inline struct steer_chain *peer_chain(__u32 slot, const struct steer_address *a)
{
	struct steer_prefix p = {.length = 128};
	void *table = bpf_map_lookup_elem(&policy_peers, &slot);

	__builtin_memcpy(p.in6, a->in6, sizeof(p.in6));
	return table ? bpf_map_lookup_elem(table, &p) : NULL;
}

/* 0: more than there is room for, and nothing is known about the rest.
 *
 * A global function: the verifier looks at it once, and not anew on every way that leads to it,
 * which took a hundred times as long.
 */
__noinline int match_add(struct match_ids *ids, const struct steer_chain *chain)
{
	__u32 i, n;

	if (!ids)
		return 0;
	if (!chain)
		return 1;
	n = ids->used;
	if (chain->count > STEER_CHAIN_MAX || n + chain->count > MATCH_IDS)
		return 0;
	for (i = 0; i < STEER_CHAIN_MAX && i < chain->count; i++)
		ids->id[(n + i) & (MATCH_IDS - 1)] = chain->id[i];
	ids->used = n + chain->count;
	return 1;
}

static long search_port(__u64 step, struct port_search *s)
{
	__u32 middle = s->first + (s->end - s->first) / 2;
	struct steer_span *span;
	void *spans;

	if (s->first >= s->end)
		return 1;
	spans = bpf_map_lookup_elem(&policy_spans, &s->slot);
	span = spans ? bpf_map_lookup_elem(spans, &middle) : NULL;
	if (!span)
		return 1;
	if (span->first_port > s->port) {
		s->end = middle;
		return 0;
	}
	/* the last such span is the only one that can have the port */
	s->bits = span->last_port >= s->port ? span->bits : 0;
	s->first = middle + 1;
	return 0;
}

static long match_pair(__u64 pair, struct match *m)
{
	__u32 peers = m->peer.used;
	struct port_search s = {.slot = m->slot, .port = m->port};
	struct steer_scope scope;
	struct steer_spans *spans;
	void *scopes;

	scope.workload = m->workload.id[(pair / peers) & (MATCH_IDS - 1)];
	scope.peer = m->peer.id[(pair % peers) & (MATCH_IDS - 1)];
	scopes = bpf_map_lookup_elem(&policy_scopes, &s.slot);
	spans = scopes ? bpf_map_lookup_elem(scopes, &scope) : NULL;
	if (!spans)
		return 0;
	s.first = spans->first;
	s.end = spans->first + spans->count;
	bpf_loop(STEER_SEARCH_STEPS, search_port, &s, 0);
	m->bits |= s.bits;
	return 0;
}

/* What the rules say, once the lists are filled. `way` is STEER_OUT or STEER_IN. */
static __always_inline __u32 match_bits(struct match *m, const struct steer_policy *p, int way)
{
	m->bits = p->port[m->port & 0xffff];
	if (!(m->bits >> way & STEER_OUT_DENY) && m->workload.used * m->peer.used > 1)
		bpf_loop(m->workload.used * m->peer.used, match_pair, m, 0);
	return m->bits >> way;
}

/* The verdict. */
static __always_inline bool match_allows(struct match *m, const struct steer_policy *p, int way)
{
	__u32 bits = match_bits(m, p, way);

	if (!(bits & (STEER_OUT_DENY | STEER_OUT_ALLOW)))
		bits = p->default_bits >> way;
	return !(bits & STEER_OUT_DENY) && (bits & STEER_OUT_ALLOW);
}

/* By a rule, not by default. */
static __always_inline bool match_denies(struct match *m, const struct steer_policy *p, int way)
{
	return match_bits(m, p, way) & STEER_OUT_DENY;
}

static __always_inline bool match_peer(struct match *m, const struct steer_policy *p,
				       const struct steer_address *a)
{
	return !(p->has & STEER_HAS_PEERS) || match_add(&m->peer, peer_chain(m->slot, a));
}

#endif
