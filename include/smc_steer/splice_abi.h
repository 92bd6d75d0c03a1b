/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * BPF <-> agent: connections that the agent relays, because their sockets cannot be SMC sockets.
 *
 * A connect() of a kernel without IPPROTO_SMC is sent to a port of the loopback interface, the
 * "hold" of its network namespace, with a listener that hears nothing: a filter on it takes all
 * SYNs. So its SYN is held back (the kernel sends it again after a jiffy, two, four ...) until
 * the agent has reached the server; then it is let through to the agent's listener, or answered
 * with a reset. connect() takes as long and ends as it would have without us.
 *
 *   relays     hash: __u64 network namespace cookie -> struct splice_relay
 *   faces      sk_storage: struct splice_face: what getpeername() and getsockname() of a program
 *              are to say
 *   held       hash: struct splice_way -> struct splice_held: SYNs that are held back
 *   listeners  sockhash: struct splice_place -> where those go that are let through
 *   callers    hash: struct splice_caller -> struct splice_name: whom a connection that the agent
 *              makes to a server of this guest stands for; written before its SYN
 *   declined   lru_hash: struct splice_name -> __u64, until when (CLOCK_MONOTONIC ns) connections
 *              to it are left alone
 *   joined     sockhash: struct splice_tuple -> one end of a loopback connection that is relayed
 *   asked      ringbuf of struct splice_event
 *   adopting   hash: struct splice_own -> __u16: at these addresses of this guest SMC's SYNs to
 *              running servers go to the agent's SMC listener on that port
 *
 * Addresses are those of policy_abi.h, ports are in host byte order.
 */
#ifndef SMC_STEER_SPLICE_ABI_H
#define SMC_STEER_SPLICE_ABI_H

#include <linux/types.h>

#include <smc_steer/policy_abi.h>

#define SPLICE_RELAYS_MAX   4096
#define SPLICE_FLOWS_MAX    65536
#define SPLICE_DECLINED_MAX 4096
#define SPLICE_ASKED_BYTES  (1 << 20) /* a power of two and whole pages, as a ringbuf wants it */

#define SPLICE_IPV6 1 /* ::1 has the hold, too */
#define SPLICE_JOIN 2 /* the two ends of a loopback connection are joined in the kernel */

struct splice_relay {
	__u16 hold;  /* the port, different in each network namespace; 0: no connect() is relayed */
	__u16 flags; /* SPLICE_* */
};
STEER_ASSERT(sizeof(struct splice_relay) == 4);

struct splice_name {
	struct steer_address address;
	__u16 port;
	__u16 reserved;
};
STEER_ASSERT(sizeof(struct splice_name) == 20);

struct splice_face {
	struct splice_name peer;  /* port 0: as the kernel says */
	struct splice_name local; /* likewise */
	__u16 hold;		  /* a connection through this one; 0: of a server */
	__u16 syn_retries;	  /* that the program's socket had; 0: the kernel's default */
};
STEER_ASSERT(sizeof(struct splice_face) == 44);

struct splice_way {
	__u16 hold;
	__u16 port; /* the program's, on the loopback interface */
	__u16 family;
	__u16 reserved;
};
STEER_ASSERT(sizeof(struct splice_way) == 8);

enum splice_state {
	SPLICE_WAIT = 1, /* the agent is busy with it */
	SPLICE_GO,	 /* the server is reached */
	SPLICE_REFUSED,	 /* it is not to be */
};

struct splice_held {
	__u64 cookie;		  /* of the program's socket */
	__u32 state;		  /* enum splice_state */
	struct splice_name local; /* what it is to see as its own name, once it may go */
};
STEER_ASSERT(sizeof(struct splice_held) == 32);

/* What the agent says of a connection that is held: the context of program splice_settle. */
struct splice_word {
	struct splice_way way;
	__u64 cookie; /* whose it is about; nobody else's */
	struct splice_name local;
	__u32 state; /* enum splice_state */
};
STEER_ASSERT(sizeof(struct splice_word) == 40);

/* And of one that it has relayed, when that has ended: the context of program splice_learn. */
struct splice_length {
	__u64 bytes; /* both ways */
	__u64 lifetime_ns;
	struct splice_name server;
	__u32 reserved;
};
STEER_ASSERT(sizeof(struct splice_length) == 40);

struct splice_place {
	__u16 hold;
	__u16 family;
};
STEER_ASSERT(sizeof(struct splice_place) == 4);

/* The agent's end has the server's address, too. */
struct splice_caller {
	__u64 netns; /* cookie */
	struct steer_address address;
	__u16 port;   /* of the agent's end */
	__u16 server; /* port */
	__u32 reserved;
};
STEER_ASSERT(sizeof(struct splice_caller) == 32);

/* Of a socket, as its kernel has it. */
struct splice_tuple {
	__u64 netns; /* cookie */
	struct steer_address local;
	struct steer_address remote;
	__u16 local_port;
	__u16 remote_port;
	__u32 reserved;
};
STEER_ASSERT(sizeof(struct splice_tuple) == 48);

struct splice_own {
	__u32 netns; /* inode number */
	struct steer_address address;
};
STEER_ASSERT(sizeof(struct splice_own) == 20);

enum splice_event_kind {
	SPLICE_ASKED = 1, /* a SYN is held back */
	SPLICE_GONE,	  /* the program gave up before it was let through */
};

struct splice_event {
	struct splice_way way;
	__u64 cookie;
	struct splice_name wanted;  /* what the program asked for */
	struct steer_address bound; /* what it had bound its socket to; unspecified: nothing */
	__u32 kind;		    /* enum splice_event_kind */
};
STEER_ASSERT(sizeof(struct splice_event) == 56);

#endif /* SMC_STEER_SPLICE_ABI_H */
