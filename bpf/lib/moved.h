/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BPF_MOVED_H
#define BPF_MOVED_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/events_abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STEER_MOVED_MAX);
	__type(key, __u64);
	__type(value, __u64);
} moved SEC(".maps");

#endif
