// SPDX-License-Identifier: GPL-2.0-only
/*
 * "Nobody is inside of TCP who did not come through us": tests/model/clean.pml.
 *
 * A thread that loaded TCP's functions before we replaced them can be preempted before it takes the socket's
 * lock, wait for that, sleep with it (a page fault), or sleep without it for data or room. A grace
 * period of tasks RCU ends when each thread has slept or left the kernel. It has not slept unseen if, over
 * one whole grace period, no release_sock() was by a thread or woke one that had not come through us, and
 * if nobody owns the lock then. Who sleeps in TCP has an entry in the socket's wait queue until it
 * owns the lock again; that can last for ever, and matters to the receiving direction only:
 * what it sends by TCP has its place before what is sent later.
 *
 * The queue of the lock is no place to look at: a wake-up takes the thread out of it before that owns
 * anything. So the wake-up is what counts, and before a grace period begins, each CPU has to know of those
 * that it was told of: until then tasks RCU takes the thread for asleep.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/smp.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "tcp_ivpci.h"
#include "tcp_ivpci_round.h"

/* between two rounds, if there is something left of the last one: somebody sleeps for long */
#define TCP_IVPCI_PAUSE_MS 10

static void tcp_ivpci_work_fn(struct work_struct *work);

static DEFINE_SPINLOCK(tcp_ivpci_new_lock);
static LIST_HEAD(tcp_ivpci_new); /* with a reference each */
static DECLARE_DELAYED_WORK(tcp_ivpci_work, tcp_ivpci_work_fn);
static struct workqueue_struct *tcp_ivpci_queue;

void tcp_ivpci_enter(struct sock *sk, struct tcp_ivpci_call *call, bool sends)
{
	unsigned long flags;

	call->ts = tcp_ivpci_get(sk);
	if (!call->ts)
		return;
	call->task = current;
	call->sends = sends;
	spin_lock_irqsave(&call->ts->lock, flags);
	list_add(&call->list, &call->ts->calls);
	spin_unlock_irqrestore(&call->ts->lock, flags);
}

void tcp_ivpci_leave(struct tcp_ivpci_call *call)
{
	unsigned long flags;

	if (!call->ts)
		return;
	spin_lock_irqsave(&call->ts->lock, flags);
	list_del(&call->list);
	spin_unlock_irqrestore(&call->ts->lock, flags);
	tcp_ivpci_put(call->ts);
}

bool tcp_ivpci_is_in(struct tcp_ivpci_sock *ts, const struct task_struct *task, bool sends)
{
	struct tcp_ivpci_call *call;
	unsigned long flags;
	bool is_in = false;

	spin_lock_irqsave(&ts->lock, flags);
	list_for_each_entry(call, &ts->calls, list)
		is_in = is_in || (call->task == task && call->sends >= sends);
	spin_unlock_irqrestore(&ts->lock, flags);
	return is_in;
}

/* Under the slock: somebody waits for the lock who has not come through us. */
static bool tcp_ivpci_strangers_wait(struct tcp_ivpci_sock *ts, struct sock *sk)
{
	struct wait_queue_head *head = &sk->sk_lock.wq;
	struct wait_queue_entry *wait;
	bool found = false;
	unsigned long flags;

	spin_lock_irqsave(&head->lock, flags);
	list_for_each_entry(wait, &head->head, entry)
		found = found || !tcp_ivpci_is_in(ts, wait->private, false);
	spin_unlock_irqrestore(&head->lock, flags);
	return found;
}

/* Under the slock: somebody sleeps in TCP, and is not one of ours that sends. */
static bool tcp_ivpci_sleeps(struct tcp_ivpci_sock *ts, struct sock *sk)
{
	struct socket_wq *wq = rcu_dereference_raw(sk->sk_wq);
	struct wait_queue_entry *wait;
	bool found = false;
	unsigned long flags;

	if (!wq)
		return false;
	spin_lock_irqsave(&wq->wait.lock, flags);
	list_for_each_entry(wait, &wq->wait.head, entry)
		found = found || (wait->func == woken_wake_function &&
				  !tcp_ivpci_is_in(ts, wait->private, true));
	spin_unlock_irqrestore(&wq->wait.lock, flags);
	return found;
}

/* Of release_sock(), under the slock, before it wakes somebody; and of sleepers in TCP. */
void tcp_ivpci_release_cb(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_of(sk);
	bool ours, wait;

	if (ts && ts->attached) {
		ours = tcp_ivpci_is_in(ts, current, false);
		wait = waitqueue_active(&sk->sk_lock.wq) && tcp_ivpci_strangers_wait(ts, sk);
		if (tcp_ivpci_round_foreign(ours, wait))
			ts->foreign = true;
		if (!ours && ts->clean_receiving)
			tcp_ivpci_count(strangers);
		if (ts->leaves)
			tcp_ivpci_restore(ts, sk);
		/* SIGIO was switched on: it asks for nothing, and is to hear of each record */
		if (unlikely(sock_flag(sk, SOCK_FASYNC)) && rcu_access_pointer(ts->pair))
			tcp_ivpci_give_back_soon(ts);
	}
	tcp_prot.release_cb(sk);
}

static void tcp_ivpci_begin(struct tcp_ivpci_sock *ts)
{
	spin_lock_bh(&ts->sk->sk_lock.slock);
	ts->foreign = false;
	spin_unlock_bh(&ts->sk->sk_lock.slock);
}

/* After a grace period. True: there is nothing more to be found out. */
static bool tcp_ivpci_look(struct tcp_ivpci_sock *ts)
{
	struct sock *sk = ts->sk;
	bool late = tcp_ivpci_late(ts);
	bool done = false;
	int tries;

	for (tries = 0; tries < 50; tries++) {
		bool owned;

		spin_lock_bh(&sk->sk_lock.slock);
		owned = ts->attached && sock_owned_by_user_nocheck(sk);
		if (ts->attached && tcp_ivpci_round_clean(owned, ts->foreign)) {
			if (!ts->clean_sending)
				tcp_ivpci_count(clean_sending);
			ts->clean_sending = true;
			if (!late && !tcp_ivpci_sleeps(ts, sk)) {
				ts->clean_receiving = true;
				tcp_ivpci_count(clean_receiving);
			}
		}
		done = !ts->attached || ts->clean_receiving;
		owned = owned && !ts->foreign;
		spin_unlock_bh(&sk->sk_lock.slock);
		if (!owned)
			break;
		usleep_range(50, 200);
	}
	return done;
}

static void tcp_ivpci_nothing(void *unused)
{
}

/* One grace period for all that are waiting for one. */
static void tcp_ivpci_work_fn(struct work_struct *work)
{
	struct tcp_ivpci_sock *ts, *next;
	LIST_HEAD(mine);

	spin_lock(&tcp_ivpci_new_lock);
	list_splice_init(&tcp_ivpci_new, &mine);
	spin_unlock(&tcp_ivpci_new_lock);
	list_for_each_entry(ts, &mine, unclean)
		tcp_ivpci_begin(ts);
	/* wake-ups that are on their way to a CPU */
	on_each_cpu(tcp_ivpci_nothing, NULL, 1);
	synchronize_rcu_tasks();
	tcp_ivpci_count(rounds);
	list_for_each_entry_safe(ts, next, &mine, unclean) {
		if (tcp_ivpci_look(ts)) {
			list_del(&ts->unclean);
			tcp_ivpci_put(ts);
		}
	}
	spin_lock(&tcp_ivpci_new_lock);
	list_splice(&mine, &tcp_ivpci_new);
	if (!list_empty(&tcp_ivpci_new))
		queue_delayed_work(tcp_ivpci_queue, &tcp_ivpci_work,
				   msecs_to_jiffies(TCP_IVPCI_PAUSE_MS));
	spin_unlock(&tcp_ivpci_new_lock);
}

void tcp_ivpci_clean(struct tcp_ivpci_sock *ts)
{
	refcount_inc(&ts->refs);
	spin_lock(&tcp_ivpci_new_lock);
	list_add_tail(&ts->unclean, &tcp_ivpci_new);
	spin_unlock(&tcp_ivpci_new_lock);
	queue_delayed_work(tcp_ivpci_queue, &tcp_ivpci_work, 0);
}

int tcp_ivpci_clean_init(void)
{
	tcp_ivpci_queue = alloc_workqueue("tcp_ivpci", WQ_UNBOUND, 1);
	return tcp_ivpci_queue ? 0 : -ENOMEM;
}
