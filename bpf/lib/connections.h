/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BPF_CONNECTIONS_H
#define BPF_CONNECTIONS_H

#include <bpf/bpf_helpers.h>

#include <smc_steer/events_abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct steer_connection);
} connections SEC(".maps");

#endif
