/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP connections of programs whose calls pass through us (docs/DIRECT.md). Two modules:
 *
 *   tcp_ivpci_calls  what the programs' threads are in: they may sleep there for as long as they like, so it is
 *                    never unloaded.
 *   tcp_ivpci        who asks, by smc_steer/direct_abi.h: no thread of a program is ever in it. It can go at
 *                    any time, and detaches from all.
 *
 * Lock order: the socket's slock, lock of a wait queue (sk_lock.wq, sk_sleep), ts->lock; slock,
 * tcp_ivpci_lock. Nothing here takes lock_sock(): a program can have it for as long as it likes.
 */
#ifndef TCP_IVPCI_H
#define TCP_IVPCI_H

#include <linux/list.h>
#include <linux/net.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <net/sock.h>
#include <net/tcp.h>

#include <smc_steer/direct_abi.h>

/* A socket that is, or was, attached to; its ULP data as long as it is. */
struct tcp_ivpci_sock {
	refcount_t refs; /* the socket's, the cleaner's, calls', and who has looked it up */
	struct rcu_head rcu;
	struct sock *sk; /* with a reference */

	/* under the slock */
	bool attached;
	bool foreign; /* since the last look somebody had the lock who did not come through us */
	bool clean_sending;
	bool clean_receiving;

	bool leaves;	      /* set at any time: whoever has the lock is to restore the socket */
	struct list_head all; /* under tcp_ivpci_lock, while attached */
	struct list_head unclean; /* the cleaner's */
	spinlock_t lock;	  /* irqs off: taken inside of wait queues' */
	struct list_head calls;	  /* threads that have come through us */
};

/* A thread's attempt at something, on its stack. */
struct tcp_ivpci_call {
	struct list_head list;
	struct tcp_ivpci_sock *ts; /* NULL: not attached when it began */
	struct task_struct *task;
	bool sends;
};

/* tcp_ivpci_socket.c: attach, detach */
struct tcp_ivpci_sock *tcp_ivpci_get(const struct sock *sk);
void tcp_ivpci_put(struct tcp_ivpci_sock *ts);
/* Under the slock, or by its owner. */
struct tcp_ivpci_sock *tcp_ivpci_of(const struct sock *sk);
int tcp_ivpci_attach(struct sock *sk);
void tcp_ivpci_detach(struct sock *sk, u64 *counter);
void tcp_ivpci_detach_all(void);
/* With the socket's lock. */
void tcp_ivpci_detach_owned(struct sock *sk);
void tcp_ivpci_restore(struct tcp_ivpci_sock *ts, struct sock *sk);
/* setsockopt() `optname`, for which the socket has to be TCP's own before and stay so meanwhile. */
int tcp_ivpci_yield(struct sock *sk, int level, int optname, sockptr_t value, unsigned int length);

extern struct direct_counters tcp_ivpci_counters;
/* They are for people: a count that gets lost is none that is missed. */
#define tcp_ivpci_count(name) WRITE_ONCE(tcp_ivpci_counters.name, tcp_ivpci_counters.name + 1)

/* tcp_ivpci_clean.c: nobody in TCP but through us */
void tcp_ivpci_enter(struct sock *sk, struct tcp_ivpci_call *call, bool sends);
void tcp_ivpci_leave(struct tcp_ivpci_call *call);
void tcp_ivpci_release_cb(struct sock *sk);
void tcp_ivpci_clean(struct tcp_ivpci_sock *ts);
int tcp_ivpci_clean_init(void);

/* tcp_ivpci_functions.c: what replaces TCP's */
int tcp_ivpci_functions_init(void);
bool tcp_ivpci_replace(struct sock *sk);
void tcp_ivpci_put_back(struct sock *sk);
bool tcp_ivpci_replaced(const struct sock *sk);

/* tcp_ivpci_receive.c */
int tcp_ivpci_receive(struct sock *sk, struct msghdr *msg, size_t len, int flags, int *name_length);
ssize_t tcp_ivpci_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe,
			      size_t len, unsigned int flags);

#endif
