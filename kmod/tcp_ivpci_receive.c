// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving without ever sleeping in TCP: who sleeps there takes what comes by TCP when it wakes, whatever
 * else may have come by then. Attempts that do not sleep, and a wait of our own between them,
 * from which a thread comes back through tcp_ivpci_enter().
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/wait.h>
#include <net/inet_common.h>

#include "compat/net.h"
#include "tcp_ivpci.h"

/* To be told from those who sleep in TCP. */
int tcp_ivpci_woken(struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	return woken_wake_function(wait, mode, sync, key);
}

/*
 * The socket may have been detached, and even attached anew, while it was waited for: then the place in the
 * order is another one.
 */
void tcp_ivpci_read_begin(struct sock *sk, struct tcp_ivpci_call *call)
{
	for (;;) {
		tcp_ivpci_enter(sk, call, false);
		if (!call->ts)
			return;
		mutex_lock(&call->ts->reading);
		if (READ_ONCE(call->ts->attached))
			return;
		mutex_unlock(&call->ts->reading);
		tcp_ivpci_leave(call);
	}
}

void tcp_ivpci_read_end(struct tcp_ivpci_call *call)
{
	struct tcp_ivpci_sock *ts = call->ts;

	if (!ts)
		return;
	mutex_unlock(&ts->reading);
	if (unlikely(READ_ONCE(ts->leaves)))
		tcp_ivpci_try_restore(ts);
	tcp_ivpci_leave(call);
}

static int tcp_ivpci_try_once(struct sock *sk, struct msghdr *msg, size_t len, int flags,
			      int *name_length, bool whole, bool *fault)
{
	struct tcp_ivpci_call call;
	int rc;

	*fault = false;
	tcp_ivpci_read_begin(sk, &call);
	if (call.ts && call.ts->merges)
		rc = tcp_ivpci_merge(call.ts, msg, len, flags, whole, fault);
	else
		rc = tcp_prot.recvmsg(sk, msg, len, flags COMPAT_RECVMSG_PASS_NAME);
	tcp_ivpci_read_end(&call);
	return rc;
}

/* Does not sleep but for locks, and for pages with none. */
static int tcp_ivpci_try(struct sock *sk, struct msghdr *msg, size_t len, int flags,
			 int *name_length)
{
	bool fault, whole = true;
	size_t left, most;
	int rc;

	for (;;) {
		rc = tcp_ivpci_try_once(sk, msg, len, flags, name_length, whole, &fault);
		if (likely(!fault) || fatal_signal_pending(current))
			return rc;
		/* not more of a large buffer than there is to read */
		most = SZ_256K;
		if (flags & MSG_PEEK)
			most = max(tcp_ivpci_unread(sk, TCP_IVPCI_NO_WATCH, INT_MAX / 2), 1);
		most = min(most, len);
		left = fault_in_iov_iter_writeable(&msg->msg_iter, most);
		if (left == most)
			return rc;
		whole = !left;
	}
}

/* Neither sleeps, nor takes it anything of the stream. */
static int tcp_ivpci_beside(struct sock *sk, struct msghdr *msg, size_t len, int flags,
			    int *name_length)
{
	struct tcp_ivpci_call call;
	int rc;

	tcp_ivpci_enter(sk, &call, false);
	rc = tcp_prot.recvmsg(sk, msg, len, flags COMPAT_RECVMSG_PASS_NAME);
	tcp_ivpci_leave(&call);
	return rc;
}

/* The program's own. A peek has another one in its place for a while, under `reading`, and that is never below 0. */
static int tcp_ivpci_peek_offset(struct sock *sk)
{
	struct tcp_ivpci_call call;
	int offset;

	if (likely(READ_ONCE(sk->sk_peek_off) < 0))
		return 0;
	tcp_ivpci_read_begin(sk, &call);
	offset = max(READ_ONCE(sk->sk_peek_off), 0);
	tcp_ivpci_read_end(&call);
	return offset;
}

/* One peek finds what all before it have found: it is made when there is as much as was asked for. */
static bool tcp_ivpci_too_early(struct sock *sk, int flags, size_t len, int target, long timeo)
{
	return (flags & MSG_PEEK) && len && timeo &&
	       !tcp_ivpci_can_peek(sk, tcp_ivpci_peek_offset(sk), target) && !tcp_ivpci_ended(sk);
}

/*
 * The next part of what one call of TCP's would have taken at once. Control messages are those of the last
 * part that has some; an error that comes meanwhile is the next call's.
 */
static int tcp_ivpci_try_more(struct sock *sk, struct msghdr *msg, size_t len, int flags,
			      const struct msghdr *began)
{
	void *control = msg->msg_control;
	size_t length = msg->msg_controllen;
	int rc;

	if (READ_ONCE(sk->sk_err) && !tcp_ivpci_unread(sk, TCP_IVPCI_NO_WATCH, 1))
		return 0;
	msg->msg_control = began->msg_control;
	msg->msg_controllen = began->msg_controllen;
	rc = tcp_ivpci_try(sk, msg, len, flags | TCP_IVPCI_HAS_SOME, NULL);
	if (msg->msg_controllen == began->msg_controllen) {
		msg->msg_control = control;
		msg->msg_controllen = length;
	}
	if (rc < 0 && rc != -EAGAIN && rc != -EFAULT && rc != -ENOTCONN && rc != -EINVAL)
		cmpxchg(&sk->sk_err, 0, -rc);
	return rc;
}

/* As sock_rcvlowat(). */
static int tcp_ivpci_target(struct sock *sk, int flags, size_t len)
{
	int target = flags & MSG_WAITALL ? len : min_t(size_t, tcp_ivpci_lowat(sk), len);

	return max(target, 1);
}

int tcp_ivpci_receive(struct sock *sk, struct msghdr *msg, size_t len, int flags, int *name_length)
{
	DEFINE_WAIT_FUNC(wait, tcp_ivpci_woken);
	struct msghdr began = {.msg_control = msg->msg_control,
			       .msg_controllen = msg->msg_controllen};
	long timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	int target = tcp_ivpci_target(sk, flags, len);
	bool counts = tcp_sk(sk)->recvmsg_inq || msg->msg_get_inq;
	/* TCP alone tells it by itself; one that is detached from meanwhile did not */
	bool tells = counts && tcp_ivpci_merges(sk);
	bool waiting = false;
	int copied = 0;
	int rc;

	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return tcp_ivpci_beside(sk, msg, len, flags, name_length);
	flags &= ~TCP_IVPCI_HAS_SOME;
	for (;;) {
		/* as TCP: a call that has read all before the urgent byte ends there; one that begins there goes over it */
		if (copied && tcp_ivpci_at_mark(sk) && !tcp_ivpci_record_is_next(sk))
			break;
		if (copied)
			rc = tcp_ivpci_try_more(sk, msg, len - copied, flags | MSG_DONTWAIT,
						&began);
		else if (tcp_ivpci_too_early(sk, flags, len, target, timeo))
			rc = -EAGAIN;
		else
			rc = tcp_ivpci_try(sk, msg, len, flags | MSG_DONTWAIT, name_length);
		if (rc > 0)
			copied += rc;
		/* a short read says that there is no more */
		if (rc > 0 && copied < len && !(flags & MSG_PEEK) &&
		    (copied < target || tcp_ivpci_has_more(sk)))
			continue;
		if (rc != -EAGAIN || !timeo || copied >= target)
			break;
		if (!waiting) {
			/* it is told of what changes from here on */
			add_wait_queue(sk_sleep(sk), &wait);
			smp_mb(); /* pairs with wq_has_sleeper() */
			waiting = true;
			continue;
		}
		if (signal_pending(current)) {
			rc = sock_intr_errno(timeo);
			if (flags & MSG_PEEK) {
				int some = tcp_ivpci_try(sk, msg, len, flags | MSG_DONTWAIT, NULL);

				rc = some > 0 ? some : rc;
			}
			break;
		}
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
		/* who takes what came does not ask for more */
		remove_wait_queue(sk_sleep(sk), &wait);
		waiting = false;
	}
	if (waiting)
		remove_wait_queue(sk_sleep(sk), &wait);
	rc = copied ? copied : rc;
	if (rc >= 0 && counts && (tells || tcp_ivpci_merges(sk)))
		tcp_ivpci_tell_unread(sk, msg);
	return rc;
}

/* TCP sleeps if there is nothing, and if somebody else was faster: then it is not clean to receive. */
ssize_t tcp_ivpci_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe,
			      size_t len, unsigned int flags)
{
	DEFINE_WAIT_FUNC(wait, tcp_ivpci_woken);
	struct sock *sk = sock->sk;
	long timeo = sock_rcvtimeo(sk, sock->file->f_flags & O_NONBLOCK);
	struct tcp_ivpci_call call;
	bool merges;
	ssize_t rc;

	add_wait_queue(sk_sleep(sk), &wait);
	smp_mb(); /* pairs with wq_has_sleeper() */
again:
	while (timeo && len && !*ppos && !tcp_ivpci_unread(sk, TCP_IVPCI_WATCH_EMPTY, 1) &&
	       !tcp_ivpci_ended(sk)) {
		if (signal_pending(current)) {
			rc = sock_intr_errno(timeo);
			goto out;
		}
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
	}
	rc = -EAGAIN;
	if (!timeo && !(sock->file->f_flags & O_NONBLOCK) &&
	    !tcp_ivpci_unread(sk, TCP_IVPCI_NO_WATCH, 1) && !tcp_ivpci_ended(sk))
		goto out; /* its time is over */
	tcp_ivpci_read_begin(sk, &call);
	merges = call.ts && call.ts->merges;
	rc = merges ? tcp_ivpci_merge_splice(call.ts, sock, ppos, pipe, len, flags)
		    : inet_stream_ops.splice_read(sock, ppos, pipe, len, flags);
	tcp_ivpci_read_end(&call);
	if (merges && rc == -EAGAIN && timeo) {
		/* somebody was faster */
		if (signal_pending(current)) {
			rc = sock_intr_errno(timeo);
			goto out;
		}
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
		goto again;
	}
out:
	remove_wait_queue(sk_sleep(sk), &wait);
	return rc;
}
