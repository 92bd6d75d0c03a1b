/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control groups whose sockets become SMC sockets, or do not.
 */
#ifndef BPF_STEERED_H
#define BPF_STEERED_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/policy_abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_WORKLOADS_MAX);
	__type(key, __u64);
	__type(value, __u8);
} workloads SEC(".maps");

#endif
