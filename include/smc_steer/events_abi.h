/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * BPF <-> agent: what the datapath counts. BPF writes, the agent reads.
 *
 *   counters      percpu_array[STEER_COUNTERS] of __u64, by enum steer_counter
 *   connections   sk_storage of struct steer_connection: of TCP sockets (inner ones of SMC
 *                 sockets too) since they were established
 *   moved         lru_hash: __u64 cookie of an SMC socket's inner TCP socket -> __u64 bytes, both
 *                 ways, from its close() until the inner one is closed too
 *   endpoints     lru_hash: struct steer_endpoint -> struct steer_lengths: of connections that
 *                 this guest has made to same-host peers
 *   monitor       array[1] of struct steer_monitor
 *   decisions     ringbuf of struct steer_decision, while somebody listens
 */
#ifndef SMC_STEER_EVENTS_ABI_H
#define SMC_STEER_EVENTS_ABI_H

#include <linux/types.h>

#include <smc_steer/policy_abi.h>

#define STEER_DECISIONS_BYTES (256 * 1024)
#define STEER_MOVED_MAX	      8192
#define STEER_ENDPOINTS_MAX   8192

/* Of steer_lengths.score: a short connection adds one, any other takes away STEER_SCORE_LONG.
 * The handshake steps back at STEER_SCORE_BACK and comes again at 0.
 */
#define STEER_SCORE_LONG 8
#define STEER_SCORE_BACK 32
#define STEER_SCORE_MOST 64

enum steer_counter {
	/* steer: socket() calls of selected workloads that became SMC sockets */
	STEER_SOCKETS_STEERED = 0,
	/* handshake, client: SYNs by decision */
	STEER_SYN_OFFERED,
	STEER_SYN_NOT_SAME_HOST,
	STEER_SYN_DENIED,
	STEER_SYN_NO_AGENT, /* lease ran out */
	STEER_SYN_SHORT,    /* connections to this endpoint are too short to pay for SMC */
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
	/* services: SYNs with SMC's option that left the guest, by what the guard did */
	STEER_GUARD_KEPT,
	STEER_GUARD_TAKEN_OFF,
	STEER_COUNTERS,
};

struct steer_connection {
	__u64 established_ns; /* CLOCK_MONOTONIC */
	__u64 ended_ns;	      /* either end began to close; 0: not yet */
	__u32 counted_as;     /* enum steer_counter, to be counted alike when closed */
	__u32 made;	      /* 1: by this guest */
};

/* Where a connection goes. */
struct steer_endpoint {
	struct steer_address address;
	__u16 port; /* host byte order */
	__u16 reserved[3];
};

struct steer_lengths {
	__u64 connections; /* that were closed; the next three are about them */
	__u64 short_ones;
	__u64 bytes; /* both ways */
	__u64 lifetime_ns;
	__u32 score;
	__u32 back; /* 1: SYNs to it are plain TCP */
};

struct steer_monitor {
	__u32 listeners; /* the agent writes: decisions are reported while it is not 0 */
	__u32 reserved;
	__u64 lost; /* BPF writes: there was no room */
};

struct steer_decision {
	__u64 time_ns;		   /* CLOCK_MONOTONIC */
	struct steer_address peer; /* the other end */
	__u16 server_port;	   /* host byte order */
	__u16 decision;		   /* enum steer_counter, a SYN's or a SYN-ACK's */
	__u32 reserved;
};

#endif /* SMC_STEER_EVENTS_ABI_H */
