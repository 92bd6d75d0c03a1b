// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sending: each attempt, with the socket's lock, goes by the ring or by TCP as it likes. A record has TCP's
 * next sequence number, so both have their place in one order (ivpci/ring_abi.h).
 *
 * By TCP goes what is TCP's own (urgent bytes, zero copy, control messages, timestamps), and everything while the
 * ring has been full for long: programs lean on how much TCP takes before it makes them wait.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/net_tstamp.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "tcp_ivpci.h"

/* a ring is full for long */
#define TCP_IVPCI_FULL_MS 20
/* a guest stands still: two looks at its heart, which beats once a second, found no other beat */
#define TCP_IVPCI_QUIET_MS 1500
/* less is no room */
#define TCP_IVPCI_LEAST 64

/* With the socket's lock. */
static bool tcp_ivpci_fits_ring(const struct sock *sk, struct msghdr *msg)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return msg_data_left(msg) && !(msg->msg_flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN)) &&
	       !msg->msg_controllen && !msg->msg_ubuf &&
	       !(READ_ONCE(sk->sk_tsflags) & SOF_TIMESTAMPING_TX_RECORD_MASK) && !sk->sk_err &&
	       !(sk->sk_shutdown & SEND_SHUTDOWN) &&
	       ((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)) &&
	       tp->write_seq - tp->snd_una <= IVPCI_RECORDS_AHEAD;
}

/* Those that had to wait try again. */
void tcp_ivpci_has_room(struct tcp_ivpci_sock *ts)
{
	struct sock *sk = ts->sk;
	struct socket *sock;
	struct socket_wq *wq;

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	/* with a key that poll() and epoll do not ask for */
	if (skwq_has_sleeper(wq))
		wake_up_interruptible_poll(&wq->wait, EPOLLMSG);
	smp_mb(); /* pairs with tcp_ivpci_no_room() */
	/* edge-triggered epolls take each call for an event: as TCP, not without need */
	sock = READ_ONCE(sk->sk_socket);
	if (wq && sock && test_bit(SOCK_NOSPACE, &sock->flags))
		sk->sk_write_space(sk);
	rcu_read_unlock();
}

/*
 * The receiver is asked to say when half is free; if it reads nothing for 20 to 40 ms, it goes by TCP. Under
 * `writing` or RCU.
 */
static void tcp_ivpci_ask_room(struct tcp_ivpci_sock *ts, struct ivpci_records *ring)
{
	u32 want = atomic_inc_return(&ts->wanted);

	WRITE_ONCE(ts->wants_room, true);
	smp_mb(); /* before the receiver can signal */
	records_want_room(ring, want ? want : 1);
	refcount_inc(&ts->refs);
	if (!schedule_delayed_work(&ts->full_work, msecs_to_jiffies(TCP_IVPCI_FULL_MS)))
		tcp_ivpci_put(ts);
}

/* At least half is free, now or soon: then somebody signals. Under RCU or `writing`. */
static bool tcp_ivpci_half_free(struct tcp_ivpci_sock *ts, struct ivpci_records *ring)
{
	u64 half = READ_ONCE(ts->writer.size) / 2;

	if (READ_ONCE(ts->writer.produced) - READ_ONCE(ring->consumed) <= half)
		return true;
	tcp_ivpci_ask_room(ts, ring);
	return READ_ONCE(ts->writer.produced) - READ_ONCE(ring->consumed) <= half;
}

void tcp_ivpci_full_work(struct work_struct *work)
{
	struct tcp_ivpci_sock *ts =
		container_of(to_delayed_work(work), struct tcp_ivpci_sock, full_work);
	bool wait = false;
	u32 room;

	mutex_lock(&ts->writing);
	if (ts->writer.ring && ts->by_ring && ts->wants_room && !ts->overflow &&
	    records_room(&ts->writer, &room) && room < ts->writer.size / 2) {
		/* a reader that gets on is one to wait for, as TCP does; it is asked anew */
		if (ts->full_at != ts->writer.consumed) {
			ts->full_at = ts->writer.consumed;
			wait = !tcp_ivpci_half_free(ts, ts->writer.ring);
		} else {
			WRITE_ONCE(ts->overflow, true);
			ts->flow.full++;
		}
	}
	if (!wait)
		WRITE_ONCE(ts->wants_room, false);
	mutex_unlock(&ts->writing);
	if (!wait)
		tcp_ivpci_has_room(ts);
	tcp_ivpci_put(ts);
}

/* softirq, under RCU: there may be some. */
void tcp_ivpci_look_for_room(struct tcp_ivpci_sock *ts, struct ivpci_records *ring)
{
	if (!tcp_ivpci_half_free(ts, ring))
		return;
	WRITE_ONCE(ts->wants_room, false);
	smp_mb(); /* who asks from here on is not among those that are told now */
	tcp_ivpci_has_room(ts);
}

/* Also asked by TCP, in softirqs, and by TCP's sendmsg(): that has TCP's answer. */
bool tcp_ivpci_memory_free(const struct sock *sk, int wake)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	struct ivpci_records *ring;
	bool by_tcp = true;
	bool room = false;

	if (!ts)
		return tcp_prot.stream_memory_free(sk, wake);
	rcu_read_lock();
	ring = READ_ONCE(ts->writer.ring);
	if (ring && READ_ONCE(ts->by_ring) && !READ_ONCE(ts->overflow) &&
	    !READ_ONCE(ring->closed) && !atomic_read(&ts->in_tcp) &&
	    tcp_ivpci_quiet_ms(ts) < TCP_IVPCI_QUIET_MS) {
		by_tcp = false;
		room = tcp_ivpci_half_free(ts, ring);
	}
	rcu_read_unlock();
	tcp_ivpci_put(ts);
	return by_tcp ? tcp_prot.stream_memory_free(sk, wake) : room;
}

static size_t tcp_ivpci_copy_in(struct records_writer *writer, size_t len, struct iov_iter *from)
{
	u32 offset = records_next(writer) % writer->size;
	size_t first = min_t(size_t, len, writer->size - offset);
	size_t got;

	pagefault_disable();
	got = copy_from_iter(writer->data + offset, first, from);
	if (got == first && len > first)
		got += copy_from_iter(writer->data, len - first, from);
	pagefault_enable();
	return got;
}

/* The other end has closed its ring: true if the last record is read there all the same (tests/model/ends.pml). */
static bool tcp_ivpci_was_taken(struct tcp_ivpci_sock *ts)
{
	enum records_answer answer;
	enum records_wait patience;
	int tries;

	for (tries = 0;; tries++) {
		answer = records_final(&ts->writer);
		patience = records_patience(tries, READ_ONCE(ts->hurry));
		if (answer != RECORDS_UNKNOWN || patience == RECORDS_GIVE_UP)
			break;
		if (patience == RECORDS_SPIN)
			cpu_relax();
		else
			usleep_range(50, 100);
	}
	WRITE_ONCE(ts->by_ring, false);
	tcp_ivpci_give_back_soon(ts);
	if (answer == RECORDS_UNKNOWN || answer == RECORDS_LIE)
		tcp_ivpci_lied(ts);
	return answer != RECORDS_NONE;
}

/*
 * One record, with the socket's lock and `writing`. Bytes sent; 0: by TCP; -EAGAIN: no room; -EFAULT: the bytes are
 * not at hand, perhaps. `part`: better some than none.
 */
static int tcp_ivpci_write_one(struct tcp_ivpci_sock *ts, struct sock *sk, struct msghdr *msg,
			       bool part)
{
	struct records_writer *writer = &ts->writer;
	size_t len, got;
	u32 room;

	if (!writer->ring || !ts->by_ring)
		return 0;
	/* nobody acknowledges records: TCP's timers say for how long is too long */
	if (unlikely(tcp_ivpci_quiet_ms(ts) >= TCP_IVPCI_QUIET_MS))
		return 0;
	if (!records_room(writer, &room)) {
		tcp_ivpci_lied(ts);
		return 0;
	}
	if (ts->overflow && room < writer->size)
		return 0;
	ts->overflow = false;
	if (room < TCP_IVPCI_LEAST) {
		if (!tcp_ivpci_half_free(ts, writer->ring) || !records_room(writer, &room) ||
		    room < TCP_IVPCI_LEAST)
			return -EAGAIN;
	}
	len = min3(msg_data_left(msg), (size_t)writer->size / 4,
		   (size_t)((room - sizeof(struct ivpci_record)) & ~7U));
	got = tcp_ivpci_copy_in(writer, len, &msg->msg_iter);
	if (got < len && !part)
		iov_iter_revert(&msg->msg_iter, got);
	if (!got || (got < len && !part))
		return -EFAULT;
	records_publish(writer, got, tcp_sk(sk)->write_seq);
	ts->flow.records++;
	if (unlikely(records_closed(writer)) && !tcp_ivpci_was_taken(ts)) {
		ts->flow.repeats++;
		iov_iter_revert(&msg->msg_iter, got);
		return 0;
	}
	if (records_signal(writer)) {
		ts->flow.signals++;
		tcp_ivpci_signal(ts);
	}
	ts->flow.ring_sent += got;
	return got;
}

/*
 * All there is room for, as TCP at one go: what several threads send is not torn before that. Others wait for
 * `writing`: one ring's worth is enough.
 */
static int tcp_ivpci_write(struct tcp_ivpci_sock *ts, struct sock *sk, struct msghdr *msg,
			   bool part)
{
	u32 sent = 0;
	int rc;

	do {
		rc = tcp_ivpci_write_one(ts, sk, msg, part);
		if (rc > 0)
			sent += rc;
	} while (rc > 0 && msg_data_left(msg) && sent < ts->writer.size);
	return sent ? sent : rc;
}

/* The tail that Nagle or MSG_MORE keeps back would keep back the record, too: with these bytes it goes. */
static int tcp_ivpci_send_with_tail(struct tcp_ivpci_sock *ts, struct sock *sk, struct msghdr *msg)
{
	struct tcp_sock *tp = tcp_sk(sk);
	unsigned int flags = msg->msg_flags;
	u8 nagle = tp->nonagle;
	int rc;

	tp->nonagle = TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
	msg->msg_flags = (flags & ~MSG_MORE) | MSG_DONTWAIT;
	atomic_inc(&ts->in_tcp);
	rc = tcp_sendmsg_locked(sk, msg, msg_data_left(msg));
	atomic_dec(&ts->in_tcp);
	msg->msg_flags = flags;
	tp->nonagle = nagle;
	return rc;
}

static bool tcp_ivpci_has_tail(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 unsent = tp->write_seq - tp->snd_nxt;

	return unsent && (unsent < tp->mss_cache || (tp->nonagle & TCP_NAGLE_CORK));
}

/* With the socket's lock. *by_tcp: TCP has had all of it. */
static int tcp_ivpci_send_locked(struct tcp_ivpci_sock *ts, struct sock *sk, struct msghdr *msg,
				 bool part, bool *by_tcp)
{
	int rc = 0;

	*by_tcp = false;
	if (ts && READ_ONCE(ts->by_ring) && tcp_ivpci_fits_ring(sk, msg)) {
		if (tcp_ivpci_has_tail(sk)) {
			rc = tcp_ivpci_send_with_tail(ts, sk, msg);
			if (rc > 0)
				ts->flow.tcp_sent += rc;
			*by_tcp = rc < 0; /* it says why not */
			if (rc != -EAGAIN)
				return rc;
			*by_tcp = false;
		}
		mutex_lock(&ts->writing);
		rc = tcp_ivpci_write(ts, sk, msg, part);
		mutex_unlock(&ts->writing);
		if (rc)
			return rc;
	}
	*by_tcp = true;
	if (ts)
		atomic_inc(&ts->in_tcp);
	rc = tcp_sendmsg_locked(sk, msg, msg_data_left(msg));
	if (ts) {
		atomic_dec(&ts->in_tcp);
		if (rc > 0)
			ts->flow.tcp_sent += rc;
	}
	return rc;
}

static int tcp_ivpci_try_send(struct sock *sk, struct msghdr *msg, bool part, bool *by_tcp)
{
	struct tcp_ivpci_call call;
	int rc;

	tcp_ivpci_enter(sk, &call, true);
	lock_sock(sk);
	rc = tcp_ivpci_send_locked(call.ts, sk, msg, part, by_tcp);
	release_sock(sk);
	tcp_ivpci_leave(&call);
	return rc;
}

/* Who waits for EPOLLOUT is told when there is room, and if there was in the meantime. */
static void tcp_ivpci_no_room(struct sock *sk)
{
	if (!sk->sk_socket)
		return;
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk); /* SIGIO, as TCP would */
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	smp_mb__after_atomic(); /* pairs with tcp_ivpci_has_room() */
	if (tcp_ivpci_memory_free(sk, 0))
		sk->sk_write_space(sk);
}

/* As TCP's one call: once something was sent, errors are the next call's. */
static int tcp_ivpci_send_more(struct sock *sk, struct msghdr *msg, bool part, bool *by_tcp)
{
	unsigned int flags = msg->msg_flags;
	int rc;

	msg->msg_flags |= MSG_NOSIGNAL;
	rc = tcp_ivpci_try_send(sk, msg, part, by_tcp);
	msg->msg_flags = flags;
	if (rc < 0 && rc != -EAGAIN && rc != -EFAULT && rc != -EPIPE && rc != -ENOMEM &&
	    rc != -EINTR && rc != -ERESTARTSYS)
		cmpxchg(&sk->sk_err, 0, -rc);
	return rc;
}

/* False: there is no such memory, or nobody to wait for it. *part: there is not all. */
static bool tcp_ivpci_fault_in(struct msghdr *msg, bool *part)
{
	size_t len = min_t(size_t, msg_data_left(msg), SZ_256K);
	size_t left = fault_in_iov_iter_readable(&msg->msg_iter, len);

	*part = left;
	return left < len && !fatal_signal_pending(current);
}

int tcp_ivpci_send(struct sock *sk, struct msghdr *msg, size_t len)
{
	DEFINE_WAIT_FUNC(wait, tcp_ivpci_woken);
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	bool waiting = false, part = false;
	int copied = 0;
	bool by_tcp;
	int rc;

	do {
		rc = copied ? tcp_ivpci_send_more(sk, msg, part, &by_tcp)
			    : tcp_ivpci_try_send(sk, msg, part, &by_tcp);
		if (rc > 0)
			copied += rc;
		if (by_tcp)
			break; /* all of it, or it says why not */
		if (rc > 0 || (rc == -EFAULT && tcp_ivpci_fault_in(msg, &part)))
			continue;
		if (rc != -EAGAIN)
			break;
		if (!timeo) {
			tcp_ivpci_no_room(sk);
			break;
		}
		if (!waiting) {
			/* it is told of what changes from here on */
			add_wait_queue(sk_sleep(sk), &wait);
			smp_mb(); /* pairs with wq_has_sleeper() */
			waiting = true;
			continue;
		}
		if (signal_pending(current)) {
			rc = sock_intr_errno(timeo);
			break;
		}
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
	} while (msg_data_left(msg));
	if (waiting)
		remove_wait_queue(sk_sleep(sk), &wait);
	return copied ? copied : rc;
}
