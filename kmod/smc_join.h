/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * smc_join: an upper layer protocol (TCP_ULP) that has a program's TCP socket send to an SMC socket
 * and receive from it, for programs whose sockets cannot be SMC sockets themselves: on kernels
 * without IPPROTO_SMC, and servers that were running before. The contract with the agent, which
 * makes the connections, is smc_steer/join_abi.h.
 *
 *	program          agent's end (TCP, loopback)      wire (SMC)
 *	  |  ^ data ------------------------------------->  |  ^
 *	  |  '--------------------------------------------'    |
 *	  '-- FIN, RST --> agent -- smc_join_up() -->  shutdown, urgent byte
 *	  <-- FIN, RST --  agent <- smc_join_down() -  the wire's end, error, urgent byte
 *
 * Data goes past TCP. How the connection ends does not: what poll(), SO_ERROR, shutdown() and
 * so on say is TCP's answer, since the program's socket gets a real FIN or reset from the
 * agent's, to which we pass on the wire's.
 *
 * Lock order: lock_sock(program) or its slock, callback lock of the wire or of the agent's socket,
 * join->lock, lock of the program's wait queue. The wire's socket lock is taken with none
 * of these held, but in join->reading: SMC takes TCP's inside of its own.
 */
#ifndef SMC_JOIN_H
#define SMC_JOIN_H

#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <net/sock.h>
#include <net/tcp.h>

#include <smc_steer/join_abi.h>

enum smc_join_mode {
	SMC_JOIN_RELAYED, /* the agent moves the data, by way of TCP */
	SMC_JOIN_SENDING, /* what the program sends goes to the wire */
	SMC_JOIN_DIRECT,  /* what it receives comes from there, too */
	SMC_JOIN_OVER,	  /* the program's socket is closed, or TCP's for good */
};

/* The callbacks that a socket had before its sk_user_data was ours. */
struct smc_join_callbacks {
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
};

/* One connection; the ULP data of the agent's socket and of the program's. */
struct smc_join {
	refcount_t refs;		  /* the two sockets, and work that is queued */
	int id;				  /* says which workqueue it has */
	spinlock_t lock;		  /* of `program`, which softirqs release, and `wire` */
	struct sock *agent;		  /* with a reference: its sequence numbers are asked for */
	struct sock *program;		  /* NULL: not found yet, or gone */
	struct proto *base;		  /* what the program's socket had, */
	const struct proto_ops *base_ops; /* constant from when it was found */

	u8 mode; /* changes under the program's socket lock */

	/* from SMC_JOIN_SENDING until the program's close() */
	struct socket *wire; /* set and taken back with `lock` held */
	struct smc_join_callbacks wire_had;
	struct socket *left; /* the wire of an agent that died before SMC_JOIN_DIRECT */

	/* from SMC_JOIN_DIRECT until then */
	struct socket *agent_socket;
	struct smc_join_callbacks agent_had;
	u32 received_until;   /* sequence number behind the last byte that comes by TCP */
	struct mutex reading; /* what is taken from the wire, with received_until */
	bool put_off;	      /* smc_join_move(), until that is free */
	bool starved;	      /* somebody sleeps inside of TCP */
	u32 flags;
	bool broken; /* the wire failed, */
	bool urgent; /* has had an urgent byte */
	bool deaf;   /* or was reset: nobody is there to be told something */

	struct work_struct up;	 /* the program's end or reset, to the wire; */
	bool up_ended;		 /* its own */
	bool closed;		 /* by the program, */
	u32 sent_until;		 /* which has sent by TCP up to here, */
	bool reset;		 /* and TCP would have sent a reset */
	struct work_struct down; /* and the other way */
	bool down_ended;

	atomic64_t sent;
	atomic64_t received;
};

#define SMC_JOIN_MAX 4096 /* a guest has 4,095 DMBs; the agent's own socket is one more */

#define SMC_JOIN_IPPROTO_SMC 256 /* <linux/in.h>, from Linux 6.11 on */

static inline bool smc_join_is_smc(const struct socket *sock)
{
	return sock->type == SOCK_STREAM && sock->sk &&
	       (sock->sk->sk_family == AF_SMC || sock->sk->sk_protocol == SMC_JOIN_IPPROTO_SMC);
}

/* smc_join_main.c */
void smc_join_put(struct smc_join *join);

/* The ULP data of a socket whose protocol is one of ours. */
static inline struct smc_join *smc_join_of(const struct sock *sk)
{
	return rcu_dereference_raw(inet_csk(sk)->icsk_ulp_data);
}

/*
 * Bytes that the program has sent by TCP and nobody has taken yet. As long as there are any, what is
 * sent to the wire would go before them.
 */
static inline u32 smc_join_outstanding(const struct smc_join *join, const struct sock *program)
{
	return READ_ONCE(tcp_sk(program)->write_seq) - READ_ONCE(tcp_sk(join->agent)->copied_seq);
}

/* Nothing of the program's socket uses the wire any more. Its reference is the caller's. */
static inline struct socket *smc_join_take_wire(struct smc_join *join)
{
	struct socket *wire;

	spin_lock_bh(&join->lock);
	wire = join->wire;
	join->wire = NULL;
	spin_unlock_bh(&join->lock);
	return wire;
}

/* smc_join_program.c: what the program's socket does */
/* Those that sleep here, and nobody else, try again. */
void smc_join_wake(struct sock *program);
/* And those that poll() for EPOLLOUT and need it. */
void smc_join_has_room(struct sock *program);
/* The wire has failed. */
void smc_join_broke(struct smc_join *join);
void smc_join_program_init(void);
int smc_join_attach(struct smc_join *join, struct sock *program, const struct tcp_ulp_ops *ulp);

/* smc_join_timers.c: SMC_JOIN_TIMERS, of the wire with that file descriptor */
int smc_join_keep_timers(int fd);

/* smc_join_wire.c */
int smc_join_wire_module_init(void);
void smc_join_wire_module_exit(void);
void smc_join_wire_init(struct smc_join *join);
/* Of the wire and of the agent's socket: -EBUSY: somebody else has it. */
int smc_join_hook_wire(struct smc_join *join, struct socket *wire);
int smc_join_hook_agent(struct smc_join *join, struct socket *agent);
/* From then on nothing of them reaches the program's socket. */
void smc_join_unhook_wire(struct smc_join *join);
void smc_join_unhook_agent(struct smc_join *join);
void smc_join_queue(struct smc_join *join, struct work_struct *work);
/* Of the wire, as poll() has them. From any context. */
__poll_t smc_join_wire_events(const struct smc_join *join);

#endif
