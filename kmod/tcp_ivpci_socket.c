// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attach and detach. All of it happens under the slock of a socket that nobody owns, or by its owner: then
 * nobody is half way through what we change. Detaching from one that is owned is left to
 * the owner's release_sock().
 *
 * The socket's place for an upper layer protocol is ours meanwhile. It says when the socket is
 * destroyed, and nobody else (kTLS, sockmap) takes our functions for TCP's and keeps them.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include <smc_steer/version.h>

#include "ivpci_constant.h"
#include "tcp_ivpci.h"

/* Of programs that are asking for something for which the socket has to be TCP's, on their stacks. */
struct tcp_ivpci_hold {
	struct list_head list;
	struct sock *sk;
};

static DEFINE_SPINLOCK(tcp_ivpci_lock); /* of these two; softirqs off */
static LIST_HEAD(tcp_ivpci_all);
static LIST_HEAD(tcp_ivpci_holds);

struct direct_counters tcp_ivpci_counters;
EXPORT_SYMBOL_GPL(tcp_ivpci_counters);

const u32 tcp_ivpci_contract = TCP_IVPCI_CONTRACT;
EXPORT_SYMBOL_GPL(tcp_ivpci_contract);

static void tcp_ivpci_destroyed(struct sock *sk);

/* Not registered: nobody can ask for it. */
static struct tcp_ulp_ops tcp_ivpci_ulp __read_mostly = {
	.name = "tcp_ivpci",
	.release = tcp_ivpci_destroyed,
};

struct tcp_ivpci_sock *tcp_ivpci_of(const struct sock *sk)
{
	const struct inet_connection_sock *icsk = inet_csk(sk);

	return icsk->icsk_ulp_ops == &tcp_ivpci_ulp ? rcu_dereference_raw(icsk->icsk_ulp_data)
						    : NULL;
}

/*
 * With a reference, from any context. Whoever takes the place after us keeps it: if the protocol is ours,
 * read after the data, then the data was ours, too, or nobody's.
 */
struct tcp_ivpci_sock *tcp_ivpci_get(const struct sock *sk)
{
	const struct inet_connection_sock *icsk = inet_csk(sk);
	struct tcp_ivpci_sock *ts;

	rcu_read_lock();
	ts = rcu_dereference(icsk->icsk_ulp_data);
	smp_rmb(); /* pairs with those in tcp_ivpci_install() and tcp_ivpci_uninstall() */
	if (ts &&
	    (READ_ONCE(icsk->icsk_ulp_ops) != &tcp_ivpci_ulp || !refcount_inc_not_zero(&ts->refs)))
		ts = NULL;
	rcu_read_unlock();
	return ts;
}
EXPORT_SYMBOL_GPL(tcp_ivpci_get);

void tcp_ivpci_put(struct tcp_ivpci_sock *ts)
{
	if (!refcount_dec_and_test(&ts->refs))
		return;
	tcp_ivpci_sock_free(ts);
	sock_put(ts->sk);
	kfree_rcu(ts, rcu);
}
EXPORT_SYMBOL_GPL(tcp_ivpci_put);

/* Under the slock, nobody owns it. */
static enum direct_reason tcp_ivpci_why_not(struct sock *sk)
{
	if (tcp_ivpci_of(sk))
		return DIRECT_ALREADY;
	if (sk->sk_state != TCP_ESTABLISHED || sk->sk_shutdown || sk->sk_err ||
	    sock_flag(sk, SOCK_DEAD))
		return DIRECT_NOT_ESTABLISHED;
	if (!sk->sk_socket)
		return DIRECT_NOT_ACCEPTED;
	if (!sk->sk_socket->file || sk->sk_kern_sock || READ_ONCE(sk->sk_user_data))
		return DIRECT_OF_THE_KERNEL;
	if (inet_csk(sk)->icsk_ulp_ops)
		return DIRECT_OTHER_PROTOCOL;
	if (tcp_sk(sk)->repair)
		return DIRECT_IN_REPAIR;
	return DIRECT_NO_REASON;
}

static bool tcp_ivpci_is_held(const struct sock *sk)
{
	struct tcp_ivpci_hold *hold;

	list_for_each_entry(hold, &tcp_ivpci_holds, list)
		if (hold->sk == sk)
			return true;
	return false;
}

/* Under the slock, nobody owns it. Takes over a reference to `ts`. */
static enum direct_reason tcp_ivpci_install(struct tcp_ivpci_sock *ts, struct sock *sk)
{
	struct inet_connection_sock *icsk = inet_csk(sk);
	enum direct_reason reason = tcp_ivpci_why_not(sk);

	if (reason)
		return reason;
	spin_lock(&tcp_ivpci_lock);
	if (tcp_ivpci_is_held(sk))
		reason = DIRECT_ASKED;
	else if (!tcp_ivpci_replace(sk))
		reason = DIRECT_OTHER_PROTOCOL;
	else
		list_add(&ts->all, &tcp_ivpci_all);
	spin_unlock(&tcp_ivpci_lock);
	if (reason)
		return reason;
	/* who is in our functions before this is done is one who has come another way */
	rcu_assign_pointer(icsk->icsk_ulp_data, (void __rcu *)ts);
	smp_wmb(); /* pairs with tcp_ivpci_get() */
	WRITE_ONCE(icsk->icsk_ulp_ops, &tcp_ivpci_ulp);
	ts->attached = true;
	return DIRECT_NO_REASON;
}

/* Under the slock and nobody owns it, or by its owner; that of the socket's end keeps the place. */
static void tcp_ivpci_uninstall(struct tcp_ivpci_sock *ts, struct sock *sk, bool end)
{
	struct inet_connection_sock *icsk = inet_csk(sk);

	if (!ts->attached)
		return;
	ts->attached = false;
	tcp_ivpci_put_back(sk);
	rcu_assign_pointer(icsk->icsk_ulp_data, NULL);
	smp_wmb(); /* pairs with tcp_ivpci_get() */
	if (!end)
		WRITE_ONCE(icsk->icsk_ulp_ops, NULL);
	spin_lock_bh(&tcp_ivpci_lock);
	list_del_init(&ts->all);
	spin_unlock_bh(&tcp_ivpci_lock);
	tcp_ivpci_put(ts);
}

/* Under the slock and nobody owns it, or by its owner. What is unread of a ring is read first. */
void tcp_ivpci_restore(struct tcp_ivpci_sock *ts, struct sock *sk)
{
	if (!tcp_ivpci_has_rings(ts))
		tcp_ivpci_uninstall(ts, sk, false);
}

void tcp_ivpci_try_restore(struct tcp_ivpci_sock *ts)
{
	struct sock *sk = ts->sk;

	spin_lock_bh(&sk->sk_lock.slock);
	if (!sock_owned_by_user_nocheck(sk))
		tcp_ivpci_restore(ts, sk);
	spin_unlock_bh(&sk->sk_lock.slock);
}

/* Somebody was in close() before we came. By tcp_cleanup_ulp(), which goes on with icsk_ulp_ops. */
static void tcp_ivpci_destroyed(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_of(sk);

	if (!ts)
		return;
	tcp_ivpci_count(closed);
	ts->leaves = true;
	tcp_ivpci_give_back_soon(ts);
	tcp_ivpci_uninstall(ts, sk, true);
}

/* The caller has a reference to `sk`. 0, or enum direct_reason. */
int tcp_ivpci_attach(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = kzalloc(sizeof(*ts), GFP_KERNEL);
	enum direct_reason reason = DIRECT_LOCKED;

	if (!ts)
		return -ENOMEM;
	refcount_set(&ts->refs, 2); /* the socket's, and ours */
	spin_lock_init(&ts->lock);
	tcp_ivpci_sock_init(ts);
	INIT_LIST_HEAD(&ts->calls);
	INIT_LIST_HEAD(&ts->all);
	sock_hold(sk);
	ts->sk = sk;
	spin_lock_bh(&sk->sk_lock.slock);
	if (!sock_owned_by_user_nocheck(sk))
		reason = tcp_ivpci_install(ts, sk);
	spin_unlock_bh(&sk->sk_lock.slock);
	if (reason) {
		tcp_ivpci_put(ts);
		tcp_ivpci_count(refused[reason]);
	} else {
		tcp_ivpci_count(attached);
		tcp_ivpci_clean(ts);
	}
	tcp_ivpci_put(ts);
	return reason;
}
EXPORT_SYMBOL_GPL(tcp_ivpci_attach);

/* Not by the socket's owner. When its lock is free it is TCP's own. */
void tcp_ivpci_detach(struct sock *sk, u64 *counter)
{
	struct tcp_ivpci_sock *ts;

	spin_lock_bh(&sk->sk_lock.slock);
	ts = tcp_ivpci_of(sk);
	if (ts && ts->leaves)
		ts = NULL;
	if (ts) {
		WRITE_ONCE(*counter, *counter + 1);
		ts->leaves = true; /* and nobody makes rings any more */
		refcount_inc(&ts->refs);
	}
	spin_unlock_bh(&sk->sk_lock.slock);
	if (!ts)
		return;
	tcp_ivpci_give_back(ts);
	tcp_ivpci_try_restore(ts);
	tcp_ivpci_put(ts);
}
EXPORT_SYMBOL_GPL(tcp_ivpci_detach);

/*
 * By close(). TCP resets a connection that is closed with unread bytes, and knows of none in the ring: one
 * without bytes is put into its queue, far from all others.
 */
void tcp_ivpci_closed(struct sock *sk)
{
	struct tcp_ivpci_call call;
	struct sk_buff *skb;

	tcp_ivpci_enter(sk, &call, false);
	if (!call.ts)
		return;
	if (tcp_ivpci_discard(call.ts)) {
		lock_sock(sk);
		skb = call.ts->spare;
		call.ts->spare = NULL;
		/* SYN: tcp_collapse() leaves it alone, and looks at nothing behind it */
		TCP_SKB_CB(skb)->tcp_flags = TCPHDR_ACK | TCPHDR_SYN;
		TCP_SKB_CB(skb)->seq = tcp_sk(sk)->rcv_nxt + (1 << 28);
		TCP_SKB_CB(skb)->end_seq = TCP_SKB_CB(skb)->seq + 1;
		__skb_queue_tail(&sk->sk_receive_queue, skb);
		release_sock(sk);
	}
	tcp_ivpci_detach(sk, &tcp_ivpci_counters.closed);
	tcp_ivpci_try_restore(call.ts); /* detached before, and waited for what was unread */
	tcp_ivpci_leave(&call);
}

void tcp_ivpci_detach_owned(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);

	if (!ts)
		return;
	spin_lock_bh(&sk->sk_lock.slock);
	ts->leaves = true;
	spin_unlock_bh(&sk->sk_lock.slock);
	tcp_ivpci_discard(ts);
	spin_lock_bh(&sk->sk_lock.slock);
	if (ts->attached)
		tcp_ivpci_count(yielded);
	tcp_ivpci_restore(ts, sk);
	spin_unlock_bh(&sk->sk_lock.slock);
	tcp_ivpci_put(ts);
}

void tcp_ivpci_detach_all(void)
{
	struct tcp_ivpci_sock *ts;
	LIST_HEAD(left); /* to their owners */

	for (;;) {
		spin_lock_bh(&tcp_ivpci_lock);
		ts = list_first_entry_or_null(&tcp_ivpci_all, struct tcp_ivpci_sock, all);
		if (ts) {
			refcount_inc(&ts->refs); /* it is attached: the socket has one */
			list_move(&ts->all, &left);
		}
		spin_unlock_bh(&tcp_ivpci_lock);
		if (!ts)
			break;
		tcp_ivpci_detach(ts->sk, &tcp_ivpci_counters.detached);
		tcp_ivpci_put(ts);
	}
	spin_lock_bh(&tcp_ivpci_lock);
	list_splice(&left, &tcp_ivpci_all);
	spin_unlock_bh(&tcp_ivpci_lock);
}
EXPORT_SYMBOL_GPL(tcp_ivpci_detach_all);

static bool tcp_ivpci_keeps_bytes(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	bool keeps = ts && tcp_ivpci_has_rings(ts);

	if (ts)
		tcp_ivpci_put(ts);
	return keeps;
}

int tcp_ivpci_yield(struct sock *sk, int level, int optname, sockptr_t value, unsigned int length)
{
	struct tcp_ivpci_hold hold = {.sk = sk};
	int rc;

	spin_lock_bh(&tcp_ivpci_lock);
	list_add(&hold.list, &tcp_ivpci_holds);
	spin_unlock_bh(&tcp_ivpci_lock);
	/* one that owns the lock restores it before TCP takes it for this */
	tcp_ivpci_detach(sk, &tcp_ivpci_counters.yielded);
	if (optname == TCP_REPAIR && level == SOL_TCP && tcp_ivpci_keeps_bytes(sk))
		rc = -EBUSY; /* bytes of a ring are unread */
	else
		rc = tcp_prot.setsockopt(sk, level, optname, value, length);
	spin_lock_bh(&tcp_ivpci_lock);
	list_del(&hold.list);
	spin_unlock_bh(&tcp_ivpci_lock);
	return rc;
}

static int __init tcp_ivpci_calls_init(void)
{
	int err = tcp_ivpci_functions_init();

	if (!err)
		err = tcp_ivpci_clean_init();
	return err ? err : tcp_ivpci_rings_init();
}

module_init(tcp_ivpci_calls_init);
/* no module_exit(): threads sleep in it */

IVPCI_CONSTANT(rings, IVPCI_RINGS_VERSION, "version of what it uses of ivpci");
MODULE_DESCRIPTION("TCP calls of programs on their way through (smc-steer)");
MODULE_LICENSE("GPL");
MODULE_VERSION(STEER_VERSION);
