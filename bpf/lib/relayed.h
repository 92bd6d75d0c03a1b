/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of include/smc_steer/splice_abi.h.
 */
#ifndef BPF_RELAYED_H
#define BPF_RELAYED_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/splice_abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SPLICE_RELAYS_MAX);
	__type(key, __u64);
	__type(value, struct splice_relay);
} relays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct splice_face);
} faces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SPLICE_FLOWS_MAX);
	__type(key, struct splice_way);
	__type(value, struct splice_held);
} held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2 * SPLICE_RELAYS_MAX);
	__type(key, struct splice_place);
	__type(value, __u64);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SPLICE_FLOWS_MAX);
	__type(key, struct splice_caller);
	__type(value, struct splice_name);
} callers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SPLICE_DECLINED_MAX);
	__type(key, struct splice_name);
	__type(value, __u64);
} declined SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2 * SPLICE_FLOWS_MAX);
	__type(key, struct splice_tuple);
	__type(value, __u64);
} joined SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SPLICE_ASKED_BYTES);
} asked SEC(".maps");

#endif
