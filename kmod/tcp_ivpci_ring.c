// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings of a connection: made, connected, given back. Their memory is the driver's, which may go at any time
 * and waits for us then: so nobody has `looking` or `writing` for long, and nobody is in a callback for long.
 */
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/net_tstamp.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "tcp_ivpci.h"
#include "tcp_ivpci_errors.h"

static struct workqueue_struct *tcp_ivpci_end_queue;

static struct tcp_ivpci_pair *tcp_ivpci_pair(const struct tcp_ivpci_sock *ts)
{
	return rcu_dereference_raw(ts->pair);
}

bool tcp_ivpci_has_rings(const struct tcp_ivpci_sock *ts)
{
	/* what is unread is there before there is no pair */
	return smp_load_acquire(&ts->pair) || records_unread(&ts->reader) || READ_ONCE(ts->lowered);
}

void tcp_ivpci_signal(struct tcp_ivpci_sock *ts)
{
	struct tcp_ivpci_pair *pair = tcp_ivpci_pair(ts);

	if (pair && ts->writer.ring)
		pair->rings->calls->signal(pair->rings);
}

unsigned int tcp_ivpci_quiet_ms(struct tcp_ivpci_sock *ts)
{
	struct tcp_ivpci_pair *pair = tcp_ivpci_pair(ts);

	return pair ? pair->rings->calls->quiet_ms(pair->rings) : 0;
}

/* softirq, under RCU */
static void tcp_ivpci_signalled(void *user, bool rung)
{
	struct tcp_ivpci_pair *pair = user;
	struct tcp_ivpci_sock *ts = pair->ts;
	struct ivpci_records *in = READ_ONCE(ts->reader.ring);
	struct ivpci_records *out = READ_ONCE(ts->writer.ring);

	if (in && records_heard(&ts->reader, in, &ts->heard, rung))
		ts->sk->sk_data_ready(ts->sk);
	if (out && READ_ONCE(ts->wants_room))
		tcp_ivpci_look_for_room(ts, out);
	if (out && READ_ONCE(out->closed))
		tcp_ivpci_give_back_soon(ts);
}

static void tcp_ivpci_end_rcu(struct rcu_head *rcu)
{
	struct tcp_ivpci_pair *pair = container_of(rcu, struct tcp_ivpci_pair, rcu);

	ivpci_rings_end(pair->rings);
}

/* What is between the two words of records_close() keeps a sender waiting: do not be interrupted there. */
static bool tcp_ivpci_close_reader(struct records_reader *reader)
{
	unsigned long flags;
	bool right;

	local_irq_save(flags);
	right = records_close(reader);
	local_irq_restore(flags);
	return right;
}

/* False: there is no memory. */
static bool tcp_ivpci_keep(struct tcp_ivpci_sock *ts)
{
	struct records_reader *reader = &ts->reader;
	u32 len = reader->end - reader->pos;
	u32 offset = (reader->pos - reader->base) % reader->size;
	u32 first = min(len, reader->size - offset);
	char *copy = kvmalloc(max(len, 1U), GFP_KERNEL);

	if (!copy)
		return false;
	memcpy(copy, reader->data + offset, first);
	memcpy(copy + first, reader->data, len - first);
	ts->kept = copy;
	records_keep(reader, copy);
	return true;
}

/* Both mutexes. Afterwards nobody touches the rings, and a grace period later they are ended. */
static void tcp_ivpci_take_rings(struct tcp_ivpci_sock *ts, struct tcp_ivpci_pair *pair, bool keep)
{
	struct records_reader *reader = &ts->reader;
	unsigned int noio;

	if (!tcp_ivpci_close_reader(reader))
		tcp_ivpci_lied(ts);
	/* who closed it and heard of it by a signal: what it says it has read is checked all the same */
	if (ts->writer.ring && records_closed(&ts->writer) &&
	    records_final(&ts->writer) == RECORDS_LIE)
		tcp_ivpci_lied(ts);
	tcp_ivpci_signal(ts);
	noio = memalloc_noio_save(); /* nobody who writes back to a disk waits for us */
	if (keep && records_unread(reader)) {
		if (!tcp_ivpci_keep(ts)) {
			WRITE_ONCE(reader->pos, reader->end);
			reader->len = 0;
			records_keep(reader, NULL);
			tcp_ivpci_lied(ts); /* not so, but bytes are lost */
		}
	} else {
		records_keep(reader, NULL);
	}
	memalloc_noio_restore(noio);
	WRITE_ONCE(ts->writer.ring, NULL);
	WRITE_ONCE(ts->by_ring, false);
	smp_store_release(&ts->pair, NULL); /* rcu_assign_pointer() orders nothing for NULL */
	tcp_ivpci_count(returned);
	call_rcu(&pair->rcu, tcp_ivpci_end_rcu);
}

static void tcp_ivpci_lock(struct tcp_ivpci_sock *ts)
{
	mutex_lock(&ts->looking);
	mutex_lock(&ts->writing);
}

static void tcp_ivpci_unlock(struct tcp_ivpci_sock *ts)
{
	mutex_unlock(&ts->writing);
	mutex_unlock(&ts->looking);
}

static bool tcp_ivpci_give_back_pair(struct tcp_ivpci_sock *ts, struct tcp_ivpci_pair *pair)
{
	struct tcp_ivpci_pair *mine;
	int wanted;

	if (pair) { /* the driver waits */
		WRITE_ONCE(ts->hurry, true);
		WRITE_ONCE(pair->gone, true);
	}
	tcp_ivpci_lock(ts);
	mine = tcp_ivpci_pair(ts);
	WRITE_ONCE(ts->hurry, false);
	if (mine && (!pair || mine == pair))
		tcp_ivpci_take_rings(ts, mine, true);
	else
		mine = NULL;
	wanted = tcp_ivpci_lower(ts) ? ts->lowat : 0;
	tcp_ivpci_unlock(ts);
	/* who waits for the ring goes on with TCP; who waits for so many may have them, which TCP does not know */
	if (mine || (wanted && tcp_ivpci_unread(ts->sk, TCP_IVPCI_NO_WATCH, wanted) >= wanted))
		ts->sk->sk_data_ready(ts->sk);
	if (mine)
		tcp_ivpci_has_room(ts);
	return mine;
}

void tcp_ivpci_give_back(struct tcp_ivpci_sock *ts)
{
	tcp_ivpci_give_back_pair(ts, NULL);
}

bool tcp_ivpci_discard(struct tcp_ivpci_sock *ts)
{
	struct tcp_ivpci_pair *pair;
	bool unread;

	tcp_ivpci_lock(ts);
	pair = tcp_ivpci_pair(ts);
	if (pair)
		tcp_ivpci_take_rings(ts, pair, false);
	unread = records_unread(&ts->reader);
	WRITE_ONCE(ts->lied, false); /* the next connection of this socket has not */
	WRITE_ONCE(ts->reader.pos, ts->reader.end);
	ts->reader.len = 0;
	tcp_ivpci_lower(ts);
	tcp_ivpci_unlock(ts);
	return unread;
}

/* The driver or the other end goes. */
static void tcp_ivpci_gone(void *user, enum ivpci_rings_why why)
{
	struct tcp_ivpci_pair *pair = user;

	tcp_ivpci_give_back_pair(pair->ts, pair);
}

static void tcp_ivpci_released(void *user)
{
	struct tcp_ivpci_pair *pair = user;

	tcp_ivpci_put(pair->ts);
	kfree(pair);
}

static const struct ivpci_rings_user tcp_ivpci_rings_user = {
	.signal = tcp_ivpci_signalled,
	.gone = tcp_ivpci_gone,
	.release = tcp_ivpci_released,
};

static void tcp_ivpci_end_work(struct work_struct *work)
{
	struct tcp_ivpci_sock *ts = container_of(work, struct tcp_ivpci_sock, end_work);

	tcp_ivpci_give_back(ts);
	if (READ_ONCE(ts->lied))
		tcp_abort(ts->sk, ECONNRESET);
	tcp_ivpci_put(ts);
}

void tcp_ivpci_give_back_soon(struct tcp_ivpci_sock *ts)
{
	refcount_inc(&ts->refs);
	if (!queue_work(tcp_ivpci_end_queue, &ts->end_work))
		tcp_ivpci_put(ts);
}

void tcp_ivpci_lied(struct tcp_ivpci_sock *ts)
{
	if (READ_ONCE(ts->lied))
		return;
	WRITE_ONCE(ts->lied, true);
	tcp_ivpci_count(lies);
	tcp_ivpci_give_back_soon(ts);
}

/* What TCP knows of each byte, or of how many there are, a ring does not. */
static bool tcp_ivpci_plain(const struct sock *sk)
{
	return READ_ONCE(sk->sk_rcvlowat) <= 1 && !rcu_access_pointer(sk->sk_filter) &&
	       !sock_flag(sk, SOCK_FASYNC) && !sock_flag(sk, SOCK_RCVTSTAMP) &&
	       !sock_flag(sk, SOCK_RCVTSTAMPNS) &&
	       !(READ_ONCE(sk->sk_tsflags) &
		 (SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_RX_HARDWARE)) &&
	       !READ_ONCE(sk->sk_user_data);
}

/* With `reading`. 0 or why not. */
static enum direct_reason tcp_ivpci_install(struct tcp_ivpci_sock *ts, struct tcp_ivpci_pair *pair)
{
	enum direct_reason reason = DIRECT_NO_REASON;
	struct ivpci_rings *rings = pair->rings;
	struct sock *sk = ts->sk;

	tcp_ivpci_lock(ts);
	spin_lock_bh(&sk->sk_lock.slock);
	if (!ts->attached || ts->leaves)
		reason = DIRECT_NOT_ATTACHED;
	else if (sk->sk_state != TCP_ESTABLISHED || sk->sk_shutdown || sk->sk_err)
		reason = DIRECT_NOT_ESTABLISHED;
	else if (tcp_ivpci_pair(ts))
		reason = DIRECT_HAS_RINGS;
	else if (records_unread(&ts->reader))
		reason = DIRECT_UNREAD;
	else if (READ_ONCE(pair->gone))
		reason = DIRECT_NO_PEER;
	else if (!tcp_ivpci_plain(sk))
		reason = DIRECT_OPTIONS;
	if (!reason) {
		ts->reader = (struct records_reader){
			.ring = rings->in,
			.data = rings->in + IVPCI_RECORDS_DATA,
			.size = rings->in_len - IVPCI_RECORDS_DATA,
		};
		tcp_ivpci_watch(ts); /* somebody may be asleep */
		ts->writer = (struct records_writer){};
		ts->overflow = false;
		ts->full_at = U64_MAX;
		ts->merges = true;
		rcu_assign_pointer(ts->pair, pair);
	}
	spin_unlock_bh(&sk->sk_lock.slock);
	if (!reason) {
		kvfree(ts->kept);
		ts->kept = NULL;
	}
	tcp_ivpci_unlock(ts);
	return reason;
}

/* Who reads by TCP alone may have it for as long as it likes. */
static bool tcp_ivpci_try_reading(struct tcp_ivpci_sock *ts)
{
	int tries;

	for (tries = 0; tries < 50; tries++) {
		if (mutex_trylock(&ts->reading))
			return true;
		usleep_range(50, 200);
	}
	return false;
}

static int tcp_ivpci_make(struct tcp_ivpci_sock *ts, struct direct_rings *ask)
{
	struct ivpci_rings_ask want = {
		.device = ask->device,
		.slot = ask->slot,
		.generation = ask->generation,
		.len = ask->size,
		.calls = &tcp_ivpci_rings_user,
	};
	const struct ivpci_rings_driver *driver;
	enum direct_reason reason = DIRECT_LOCKED;
	struct ivpci_records *in;
	struct tcp_ivpci_pair *pair;
	struct ivpci_rings *rings;

	/* under `reading`, as it is used */
	if (!ts->spare)
		ts->spare = alloc_skb(0, GFP_KERNEL);
	pair = kzalloc(sizeof(*pair), GFP_KERNEL);
	if (!pair || !ts->spare) {
		kfree(pair);
		return -ENOMEM;
	}
	driver = ivpci_rings_get();
	if (!driver) {
		kfree(pair);
		return DIRECT_NO_DRIVER;
	}
	want.user = pair;
	pair->ts = ts;
	refcount_inc(&ts->refs);
	rings = driver->make(&want);
	ivpci_rings_put();
	if (IS_ERR(rings)) {
		tcp_ivpci_released(pair);
		return tcp_ivpci_refusal(PTR_ERR(rings), DIRECT_NO_PEER);
	}
	pair->rings = rings;
	in = rings->in;
	WRITE_ONCE(in->magic, IVPCI_RECORDS_MAGIC);
	ask->token = rings->token;
	reason = tcp_ivpci_install(ts, pair);
	if (reason)
		ivpci_rings_end(rings);
	else
		tcp_ivpci_count(made);
	return reason;
}

int tcp_ivpci_make_rings(struct sock *sk, struct direct_rings *ask)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	int rc = DIRECT_NOT_CLEAN;

	if (!ts)
		return DIRECT_NOT_ATTACHED;
	if (READ_ONCE(ts->clean_receiving)) {
		rc = DIRECT_LOCKED;
		if (tcp_ivpci_try_reading(ts)) {
			rc = tcp_ivpci_make(ts, ask);
			mutex_unlock(&ts->reading);
		}
	}
	tcp_ivpci_put(ts);
	return rc;
}
EXPORT_SYMBOL_GPL(tcp_ivpci_make_rings);

static int tcp_ivpci_connect(struct tcp_ivpci_sock *ts, u64 token)
{
	struct tcp_ivpci_pair *pair = tcp_ivpci_pair(ts);
	struct ivpci_records *out;
	struct ivpci_rings *rings;
	int rc;

	if (!pair)
		return DIRECT_NO_RING;
	rings = pair->rings;
	if (ts->writer.ring)
		return DIRECT_HAS_RINGS;
	rc = rings->calls->connect(rings, token);
	if (rc)
		return tcp_ivpci_refusal(rc, DIRECT_NO_RING);
	out = rings->out;
	if (READ_ONCE(out->magic) != IVPCI_RECORDS_MAGIC)
		return DIRECT_NO_RING;
	ts->writer = (struct records_writer){
		.data = rings->out + IVPCI_RECORDS_DATA,
		.size = rings->out_len - IVPCI_RECORDS_DATA,
	};
	smp_store_release(&ts->writer.ring, out);
	return DIRECT_NO_REASON;
}

int tcp_ivpci_connect_rings(struct sock *sk, u64 token)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	int rc;

	if (!ts)
		return DIRECT_NOT_ATTACHED;
	tcp_ivpci_lock(ts);
	rc = tcp_ivpci_connect(ts, token);
	tcp_ivpci_unlock(ts);
	tcp_ivpci_put(ts);
	return rc;
}
EXPORT_SYMBOL_GPL(tcp_ivpci_connect_rings);

int tcp_ivpci_move(struct sock *sk, bool by_ring)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	int rc = DIRECT_NO_REASON;
	bool changed = false;

	if (!ts)
		return DIRECT_NOT_ATTACHED;
	mutex_lock(&ts->writing);
	if (!ts->writer.ring || records_closed(&ts->writer)) {
		rc = DIRECT_NO_RING;
	} else if (ts->by_ring != by_ring) {
		WRITE_ONCE(ts->by_ring, by_ring);
		ts->flow.moves++;
		changed = true;
	}
	mutex_unlock(&ts->writing);
	/* who asks whether it is still moved wakes nobody */
	if (changed)
		tcp_ivpci_has_room(ts);
	tcp_ivpci_put(ts);
	return rc;
}
EXPORT_SYMBOL_GPL(tcp_ivpci_move);

int tcp_ivpci_return_rings(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	bool had;

	if (!ts)
		return DIRECT_NOT_ATTACHED;
	had = tcp_ivpci_give_back_pair(ts, NULL);
	tcp_ivpci_put(ts);
	return had ? DIRECT_NO_REASON : DIRECT_NO_RING;
}
EXPORT_SYMBOL_GPL(tcp_ivpci_return_rings);

void tcp_ivpci_sock_init(struct tcp_ivpci_sock *ts)
{
	mutex_init(&ts->reading);
	mutex_init(&ts->looking);
	mutex_init(&ts->writing);
	spin_lock_init(&ts->number);
	INIT_WORK(&ts->end_work, tcp_ivpci_end_work);
	INIT_DELAYED_WORK(&ts->full_work, tcp_ivpci_full_work);
	/* nothing is in it, and nothing comes */
	ts->reader.closed = true;
	ts->reader.size = 8;
}

void tcp_ivpci_sock_free(struct tcp_ivpci_sock *ts)
{
	u64 *sum = (u64 *)&tcp_ivpci_counters.flow;
	const u64 *add = (const u64 *)&ts->flow;
	size_t i;

	for (i = 0; i < sizeof(ts->flow) / sizeof(u64); i++)
		WRITE_ONCE(sum[i], sum[i] + add[i]);
	kvfree(ts->kept);
	kfree_skb(ts->spare);
}

int tcp_ivpci_rings_init(void)
{
	tcp_ivpci_end_queue = alloc_workqueue("tcp_ivpci_end", WQ_UNBOUND, 0);
	return tcp_ivpci_end_queue ? 0 : -ENOMEM;
}
