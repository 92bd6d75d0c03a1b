/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * BPF <-> agent: what the datapath decides by. The agent writes, BPF reads.
 *
 *   control       array[1] of struct steer_control
 *   same_host     hash: struct steer_address -> struct steer_peer
 *   workloads     hash: __u64 cgroup id -> __u8, enum steer_workload: what becomes of the
 *                 sockets created by tasks in this cgroup or below it; the entry nearest to
 *                 the task decides
 *
 * The rules are in five maps, each inside an array_of_maps[STEER_POLICY_SLOTS]:
 *
 *   policy           array[1] of struct steer_policy: rules about ports alone
 *   policy_peers     lpm_trie: struct steer_prefix -> struct steer_chain: the ids of all
 *                    networks of the rules that hold the address
 *   policy_subjects  hash: struct steer_subject -> struct steer_chain: the ids of all
 *                    workloads of the rules that hold the socket
 *   policy_scopes    hash: struct steer_scope -> struct steer_spans: rules about one pair of
 *                    such ids, 0 standing for anybody
 *   policy_spans     array of struct steer_span: their ports
 *
 * control.policy_slot says which slot is in force, and that one word is the whole change
 * from one policy to the next: the agent fills the other slot, moves the word, and touches
 * the former slot again when no program can be reading it any more.
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
#define STEER_CGROUP_DEPTH  16 /* cgroups looked at, from a task's own upwards */

/* Without an entry in any of the cgroups around a task its sockets are left alone. */
enum steer_workload {
	STEER_WORKLOAD_STEER = 1, /* they become SMC sockets */
	STEER_WORKLOAD_LEAVE = 2, /* they stay what the program asked for */
};

#define STEER_POLICY_NONE  0 /* as policy_slot: not one rule is in force yet */
#define STEER_POLICY_SLOTS 3 /* 1 and 2; what is in 0 is never read */
#define STEER_CHAIN_MAX	   12
#define STEER_SUBJECTS_MAX 65536
#define STEER_SPANS_MAX	   1048576 /* in all scopes of a policy; one has 2^17 at most */
#define STEER_SEARCH_STEPS 18

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
	__u32 policy_slot;
	__u32 reserved;
	/* A connection that moved fewer bytes than this, both ways together, and ended sooner is
	 * a short one (events_abi.h). 0: nobody steps back from short connections.
	 */
	__u64 short_bytes;
	__u64 short_ns;
};
STEER_ASSERT(sizeof(struct steer_control) == 40);

/* A connection is judged by its server port, at the client ("out") by the destination port
 * of the SYN, at the server ("in") by the local port. The bits that apply to it are or'ed:
 * DENY wins, then ALLOW, then default_bits.
 */
enum steer_verdict {
	STEER_OUT_DENY = 1,
	STEER_OUT_ALLOW = 2,
	STEER_IN_DENY = 4,
	STEER_IN_ALLOW = 8,
};
#define STEER_OUT 0 /* shifts OUT's bits to where they belong */
#define STEER_IN  2

/* which kinds of subjects the rules name, so that the others need not be looked up */
#define STEER_HAS_PEERS	   1
#define STEER_HAS_CGROUPS  2
#define STEER_HAS_UIDS	   4
#define STEER_HAS_NETNS	   8
#define STEER_HAS_COMMANDS 16

struct steer_policy {
	__u32 has;	    /* STEER_HAS_* */
	__u32 default_bits; /* enum steer_verdict */
	__u8 port[65536];   /* enum steer_verdict, by port in host byte order */
};
STEER_ASSERT(sizeof(struct steer_policy) == 65544);

struct steer_prefix {
	__u32 length; /* bits */
	__u8 in6[16]; /* as struct steer_address */
};
STEER_ASSERT(sizeof(struct steer_prefix) == 20);

enum steer_subject_kind {
	STEER_SUBJECT_CGROUP = 1, /* number: its id, the inode number of its directory */
	STEER_SUBJECT_UID,	  /* number: the uid in the initial user namespace */
	STEER_SUBJECT_NETNS,	  /* number: the inode number */
	STEER_SUBJECT_COMMAND,	  /* command, filled up with zeros */
};

struct steer_subject {
	__u64 kind; /* enum steer_subject_kind */
	union {
		__u64 number;
		char command[16];
	};
};
STEER_ASSERT(sizeof(struct steer_subject) == 24);

struct steer_chain {
	__u16 count; /* of id[] */
	__u16 never; /* 1: sockets of this subject are not to be steered at all */
	__u32 id[STEER_CHAIN_MAX];
};
STEER_ASSERT(sizeof(struct steer_chain) == 52);

struct steer_scope {
	__u32 workload; /* 0: any */
	__u32 peer;	/* 0: any */
};

struct steer_spans {
	__u32 first; /* in policy_spans, ordered by port, without overlaps */
	__u32 count;
};

struct steer_span {
	__u16 first_port;
	__u16 last_port;
	__u32 bits; /* enum steer_verdict */
};
STEER_ASSERT(sizeof(struct steer_span) == 8);

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
