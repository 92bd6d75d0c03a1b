/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses of services: which they are, and what the handshake leaves for the guard.
 */
#ifndef BPF_SERVICES_H
#define BPF_SERVICES_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/services_abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_SERVICES_MAX);
	__type(key, struct steer_prefix);
	__type(value, __u8);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_guard);
} guard SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} opened SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STEER_OFFERS_MAX);
	__type(key, __u32);
	__type(value, struct steer_offer);
} offers SEC(".maps");

static __always_inline const struct steer_guard *the_guard(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&guard, &zero);
}

static __always_inline __u64 *devices_opened(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&opened, &zero);
}

static __always_inline bool is_service(const struct steer_address *a)
{
	struct steer_prefix p = {.length = 128};

	__builtin_memcpy(p.in6, a->in6, sizeof(p.in6));
	return bpf_map_lookup_elem(&services, &p) != NULL;
}

#endif
