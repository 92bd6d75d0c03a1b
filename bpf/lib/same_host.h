/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is an address one that a guest of our region has published? A hint: it keeps SMC's TCP
 * option away from everybody else, it does not prove who answers.
 */
#ifndef BPF_SAME_HOST_H
#define BPF_SAME_HOST_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/policy_abi.h>

#include "kernel_types.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_SAME_HOST_MAX);
	__type(key, struct steer_address);
	__type(value, struct steer_peer);
} same_host SEC(".maps");

static __always_inline void address_from_v4(struct steer_address *a, __be32 v4)
{
	__builtin_memset(a, 0, sizeof(*a));
	a->in6[10] = 0xff;
	a->in6[11] = 0xff;
	__builtin_memcpy(&a->in6[12], &v4, sizeof(v4));
}

static __always_inline void address_from_v6(struct steer_address *a, const void *v6)
{
	__builtin_memcpy(a->in6, v6, sizeof(a->in6));
}

/* Of a program's context. Word by word, and volatile: clang makes one load of eight bytes of two, which
 * the verifier refuses.
 */
static __always_inline void address_from_context(struct steer_address *a, volatile __u32 *v6)
{
	__u32 words[4];

	words[0] = v6[0];
	words[1] = v6[1];
	words[2] = v6[2];
	words[3] = v6[3];
	address_from_v6(a, words);
}

/* The guest that has published it, or NULL. */
static __always_inline const struct steer_peer *same_host_peer(const struct steer_address *a)
{
	return bpf_map_lookup_elem(&same_host, a);
}

static __always_inline bool same_host_has(const struct steer_address *a)
{
	return same_host_peer(a) != NULL;
}

/* Of the far end of a socket or of a connection request. False: neither IPv4 nor IPv6. */
static __always_inline bool peer_address(struct steer_address *a, const struct sock_common *skc)
{
	struct in6_addr___steer v6;

	switch (skc->skc_family) {
	case AF_INET:
		address_from_v4(a, skc->skc_daddr);
		return true;
	case AF_INET6:
		v6 = skc->skc_v6_daddr;
		address_from_v6(a, &v6);
		return true;
	default:
		return false;
	}
}

#endif
