/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * BPF <-> agent: what the datapath counts. BPF writes, the agent reads.
 *
 *   counters      percpu_array[STEER_COUNTERS] of __u64, by enum steer_counter
 *   connections   sk_storage of struct steer_connection: of TCP sockets (inner ones of SMC
 *                 sockets too) since they were established
 */
#ifndef SMC_STEER_EVENTS_ABI_H
#define SMC_STEER_EVENTS_ABI_H

#include <linux/types.h>

enum steer_counter {
	/* steer: socket() calls of selected workloads that became SMC sockets */
	STEER_SOCKETS_STEERED = 0,
	/* handshake, client: SYNs by decision */
	STEER_SYN_OFFERED,
	STEER_SYN_NOT_SAME_HOST,
	STEER_SYN_DENIED,
	STEER_SYN_NO_AGENT, /* lease ran out */
	/* handshake, server: SYN-ACKs by decision */
	STEER_SYNACK_AGREED,
	STEER_SYNACK_NOT_SAME_HOST,
	STEER_SYNACK_DENIED,
	STEER_SYNACK_NO_AGENT,
	/* flows: TCP connections (inner ones of SMC sockets too) with same-host peers, by
	 * whether both ends agreed to speak SMC in the TCP handshake
	 */
	STEER_ESTABLISHED_SMC,
	STEER_ESTABLISHED_TCP,
	STEER_CLOSED_SMC,
	STEER_CLOSED_TCP,
	/* flows: connections with anybody else */
	STEER_ESTABLISHED_OTHER,
	STEER_CLOSED_OTHER,
	STEER_COUNTERS,
};

struct steer_connection {
	__u64 established_ns; /* CLOCK_MONOTONIC */
	__u32 counted_as;     /* enum steer_counter, to be counted alike when closed */
	__u32 reserved;
};

#endif /* SMC_STEER_EVENTS_ABI_H */
