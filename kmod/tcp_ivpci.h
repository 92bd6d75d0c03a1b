/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP connections of programs whose calls pass through us (docs/DIRECT.md). Two modules:
 *
 *   tcp_ivpci_calls  what the programs' threads are in: they may sleep there for as long as they like, so it is
 *                    never unloaded.
 *   tcp_ivpci        who asks, by smc_steer/direct_abi.h: no thread of a program is ever in it. It can go at
 *                    any time, and detaches from all.
 *
 * Lock order: the socket's slock, ts->number, lock of a wait queue (sk_lock.wq, sk_sleep), ts->lock; slock,
 * tcp_ivpci_lock. Mutexes: ts->reading, lock_sock(), ts->looking, ts->writing, slock.
 *
 * A program can have lock_sock() and ts->reading for as long as it likes, with a page fault. So nothing that has to
 * come to an end waits for these two: giving back takes `looking` and `writing`, under which
 * nobody waits for a program.
 */
#ifndef TCP_IVPCI_H
#define TCP_IVPCI_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <net/sock.h>
#include <net/tcp.h>

#include <smc_steer/direct_abi.h>

#include "ivpci_rings.h"
#include "tcp_ivpci_records.h"

/* A pair of rings of one connection, ours and the other end's. Freed by its release(). */
struct tcp_ivpci_pair {
	struct rcu_head rcu;
	struct ivpci_rings *rings;
	struct tcp_ivpci_sock *ts; /* with a reference */
	bool gone;		   /* before it was installed; ts->looking */
};

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

	/* Who takes bytes, one after the other, in TCP, too. */
	struct mutex reading;
	bool merges; /* by sequence: there were rings; changed under `reading` */

	/* Both to change `pair` and `writer.ring`. Who has neither looks under RCU. */
	struct mutex looking; /* at `reader` */
	struct mutex writing; /* to `writer` */
	struct tcp_ivpci_pair __rcu *pair;
	struct records_reader reader;
	struct records_writer writer;
	void *kept;	       /* what was unread when the ring went; `reader.data` then */
	struct sk_buff *spare; /* for close() with unread bytes */
	bool by_ring;	       /* what is sent goes by the ring, */
	bool overflow;	       /* but not before that is empty: it was full for long */
	bool wants_room;       /* somebody waits for some */
	u64 heard;   /* `produced` as waiters were told of it since they asked: records_heard() */
	u64 full_at; /* `consumed` when there was too little room last; under `writing` */
	bool lied;   /* the other end */
	bool hurry;  /* the driver waits for the rings' end */
	spinlock_t number; /* of these, tcp_ivpci_lowat.c; softirqs off */
	int lowat;	   /* the program's, while */
	int lowered;	   /* this one stands in its place; 0: it does not */
	atomic_t wanted;   /* how often */
	atomic_t in_tcp;   /* threads that send by TCP */
	struct delayed_work full_work;
	struct work_struct end_work;
	struct direct_flow flow;
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
/* By anybody, if nobody has the lock. */
void tcp_ivpci_try_restore(struct tcp_ivpci_sock *ts);
void tcp_ivpci_closed(struct sock *sk);
/* setsockopt() `optname`, for which the socket has to be TCP's own before and stay so meanwhile. */
int tcp_ivpci_yield(struct sock *sk, int level, int optname, sockptr_t value, unsigned int length);

extern struct direct_counters tcp_ivpci_counters;
/* Of this file and the contracts (Kbuild), when tcp_ivpci_calls was compiled. */
extern const u32 tcp_ivpci_contract;
/* They are for people: a count that gets lost is none that is missed. */
#define tcp_ivpci_count(name) WRITE_ONCE(tcp_ivpci_counters.name, tcp_ivpci_counters.name + 1)

/* tcp_ivpci_clean.c: nobody in TCP but through us */
void tcp_ivpci_enter(struct sock *sk, struct tcp_ivpci_call *call, bool sends);
void tcp_ivpci_leave(struct tcp_ivpci_call *call);
void tcp_ivpci_release_cb(struct sock *sk);
void tcp_ivpci_clean(struct tcp_ivpci_sock *ts);
int tcp_ivpci_clean_init(void);
/* That thread has come through us. `sends`: to send. */
bool tcp_ivpci_is_in(struct tcp_ivpci_sock *ts, const struct task_struct *task, bool sends);

/* tcp_ivpci_late.c */
bool tcp_ivpci_late(struct tcp_ivpci_sock *ts);

/* tcp_ivpci_functions.c: what replaces TCP's */
int tcp_ivpci_functions_init(void);
bool tcp_ivpci_replace(struct sock *sk);
void tcp_ivpci_put_back(struct sock *sk);
bool tcp_ivpci_replaced(const struct sock *sk);

/* tcp_ivpci_ring.c: rings come and go */
int tcp_ivpci_make_rings(struct sock *sk, struct direct_rings *ask);
int tcp_ivpci_connect_rings(struct sock *sk, u64 token);
int tcp_ivpci_move(struct sock *sk, bool by_ring);
int tcp_ivpci_return_rings(struct sock *sk);
void tcp_ivpci_sock_init(struct tcp_ivpci_sock *ts);
void tcp_ivpci_sock_free(struct tcp_ivpci_sock *ts);
/* What is unread is read before TCP. Process context. */
void tcp_ivpci_give_back(struct tcp_ivpci_sock *ts);
/* Later, from any context. */
void tcp_ivpci_give_back_soon(struct tcp_ivpci_sock *ts);
/* The socket is closed. True: something was unread. */
bool tcp_ivpci_discard(struct tcp_ivpci_sock *ts);
/* The other end wrote what cannot be: the connection is reset. */
void tcp_ivpci_lied(struct tcp_ivpci_sock *ts);
/* The other end is to look at its rings; under `looking` or `writing`. */
void tcp_ivpci_signal(struct tcp_ivpci_sock *ts);
/* For how long its guest stands still, in steps of a second; likewise, or under RCU. */
unsigned int tcp_ivpci_quiet_ms(struct tcp_ivpci_sock *ts);
/* Nothing is in the way of its socket being TCP's own. Under the slock. */
bool tcp_ivpci_has_rings(const struct tcp_ivpci_sock *ts);
int tcp_ivpci_rings_init(void);

/* tcp_ivpci_send.c */
int tcp_ivpci_send(struct sock *sk, struct msghdr *msg, size_t len);
bool tcp_ivpci_memory_free(const struct sock *sk, int wake);
void tcp_ivpci_has_room(struct tcp_ivpci_sock *ts);
void tcp_ivpci_look_for_room(struct tcp_ivpci_sock *ts, struct ivpci_records *ring);
void tcp_ivpci_full_work(struct work_struct *work);

/* A flag of receiving, which means nothing to TCP there: this recv() has bytes already. */
#define TCP_IVPCI_HAS_SOME MSG_MORE

/* tcp_ivpci_merge.c: under ts->reading */
int tcp_ivpci_merge(struct tcp_ivpci_sock *ts, struct msghdr *msg, size_t len, int flags,
		    bool whole, bool *fault);
bool tcp_ivpci_merges(struct sock *sk);
/* The next record is signalled, and whoever sleeps is told. Under `looking`, then look once more. */
void tcp_ivpci_watch(struct tcp_ivpci_sock *ts);
/* TCP_INQ, once all has been read that is read. */
void tcp_ivpci_tell_unread(struct sock *sk, struct msghdr *msg);
bool tcp_ivpci_record_is_next(struct sock *sk);
ssize_t tcp_ivpci_merge_splice(struct tcp_ivpci_sock *ts, struct socket *sock, loff_t *ppos,
			       struct pipe_inode_info *pipe, size_t len, unsigned int flags);
/*
 * Bytes that are to be read by now: of the ring, counted up to `most`, and, a FIN counting one, by TCP. `watch`: the
 * caller is about to wait for more than that, or for anything.
 */
enum tcp_ivpci_watch {
	TCP_IVPCI_NO_WATCH,
	TCP_IVPCI_WATCH_EMPTY, /* if the ring is empty */
	TCP_IVPCI_WATCH,
};
int tcp_ivpci_unread(struct sock *sk, enum tcp_ivpci_watch watch, u32 most);
/* Bytes of records that are unread, wherever they are in the stream; under `looking`. */
int tcp_ivpci_kept(struct tcp_ivpci_sock *ts);
/* TCP's next byte is the urgent one: a recv() that has some does not go over that. */
bool tcp_ivpci_at_mark(const struct sock *sk);
/* A peek that passes over `skip` bytes has so many, or ends at the urgent byte with fewer; if not, who waits is told. */
bool tcp_ivpci_can_peek(struct sock *sk, u32 skip, u32 wanted);
/* More than what was just read. */
bool tcp_ivpci_has_more(struct sock *sk);
bool tcp_ivpci_is_readable(struct sock *sk);
/* Of the ring, as FIONREAD counts: up to the urgent byte. */
int tcp_ivpci_unread_in_ring(struct sock *sk);
bool tcp_ivpci_ended(const struct sock *sk);

/* tcp_ivpci_lowat.c */
/* Under `looking`, when records have become unread for good, or were read. True: some count for what TCP waits for. */
bool tcp_ivpci_lower(struct tcp_ivpci_sock *ts);
/* What the program has set. */
int tcp_ivpci_lowat(struct sock *sk);
int tcp_ivpci_set_rcvlowat(struct sock *sk, int val);

/* tcp_ivpci_receive.c */
/* Nobody else takes anything of the stream meanwhile. call->ts: NULL if it is TCP's own. */
void tcp_ivpci_read_begin(struct sock *sk, struct tcp_ivpci_call *call);
void tcp_ivpci_read_end(struct tcp_ivpci_call *call);
int tcp_ivpci_woken(struct wait_queue_entry *wait, unsigned int mode, int sync, void *key);
int tcp_ivpci_receive(struct sock *sk, struct msghdr *msg, size_t len, int flags, int *name_length);
ssize_t tcp_ivpci_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe,
			      size_t len, unsigned int flags);

#endif
