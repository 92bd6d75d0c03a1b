/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * BPF <-> agent: what the datapath decides by. The agent writes, BPF reads.
 *
 *   control       array[1] of struct steer_control
 *   policy        array_of_maps[1]: the policy in force, an array[1] of struct
 *                 steer_policy. The agent fills a new one and replaces the outer entry:
 *                 a connection sees all of the old rules or all of the new ones.
 *   same_host     hash: struct steer_address -> struct steer_peer
 *   workloads     hash: __u64 cgroup id -> __u8 (1): sockets created by tasks in this
 *                 cgroup or below it become SMC sockets
 */
#ifndef SMC_STEER_POLICY_ABI_H
#define SMC_STEER_POLICY_ABI_H

#include <linux/types.h>

#ifdef __cplusplus
#define STEER_ASSERT(e) static_assert(e, #e)
#else
#define STEER_ASSERT(e) _Static_assert(e, #e)
#endif

#define STEER_IPPROTO_SMC   256
#define STEER_IPPROTO_MPTCP 262
#define STEER_TCPOPT_EXP    254 /* the option SMC puts on SYN and SYN-ACK, RFC 7609, 2.1.1 */

#define STEER_SAME_HOST_MAX 65536
#define STEER_WORKLOADS_MAX 4096
#define STEER_CGROUP_DEPTH  16 /* ancestors looked at */

struct steer_control {
	/* CLOCK_MONOTONIC ns until which the handshake may offer SMC. The agent moves it
	 * on every second; an agent that died or hangs lets it pass, and SYNs are plain TCP.
	 */
	__u64 lease_until_ns;
	/* thread group id of the agent, in the initial pid namespace: its own sockets are
	 * never steered.
	 */
	__u32 agent_tgid;
	__u32 link_port; /* where our agent takes connections of other agents, host byte order */
};
STEER_ASSERT(sizeof(struct steer_control) == 16);

enum steer_verdict {
	STEER_DENY = 0,
	STEER_ALLOW = 1,
};

/* A connection is judged by its server port, at the client by the destination port of the
 * SYN, at the server by the local port. The agent has compiled "deny wins, then allow,
 * then the default" into one verdict per port.
 */
struct steer_policy {
	__u8 port[65536]; /* enum steer_verdict, by port in host byte order */
};
STEER_ASSERT(sizeof(struct steer_policy) == 65536);

/* IPv4 as ::ffff:a.b.c.d, network byte order. */
struct steer_address {
	__u8 in6[16];
};

struct steer_peer {
	__u32 slot; /* of the guest that published the address */
	__u32 generation;
	__u32 link_port; /* where its agent takes connections of other agents */
	/* 1: an SMC-D connection between the agents proves that it works. 0: only that
	 * connection may be tried.
	 */
	__u32 linked;
};
STEER_ASSERT(sizeof(struct steer_peer) == 16);

#endif /* SMC_STEER_POLICY_ABI_H */
