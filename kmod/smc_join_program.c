// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program's TCP socket: send, receive, poll and close, first by way of TCP, then directly.
 *
 * A thread can be inside of TCP, or on its way there, from before it was ours, for as long as it likes.
 * What it sends by TCP goes before what others send: smc_join_outstanding(), smc_join_forward().
 * What it waits for it gets by TCP: when it goes to sleep (smc_join_release_cb()), and all that is
 * left when the wire ends, before TCP's end: smc_join_move().
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sockios.h>
#include <linux/wait.h>
#include <linux/splice.h>
#include <asm/ioctls.h>

#include "compat/net.h"
#include "smc_join.h"

enum {
	SMC_JOIN_V4,
	SMC_JOIN_V6,
	SMC_JOIN_FAMILIES
};

static struct proto smc_join_protos[SMC_JOIN_FAMILIES];

static DEFINE_SPINLOCK(smc_join_ops_lock); /* from contexts without softirqs */
static const struct proto_ops *smc_join_base_ops[SMC_JOIN_FAMILIES];
static struct proto_ops smc_join_ops[SMC_JOIN_FAMILIES];

/* Both pair with smc_join_go_send() and smc_join_go_receive(). */
static bool smc_join_sends(const struct smc_join *join)
{
	u8 mode = smp_load_acquire(&join->mode);

	return mode == SMC_JOIN_SENDING || mode == SMC_JOIN_DIRECT;
}

static bool smc_join_receives(const struct smc_join *join)
{
	return smp_load_acquire(&join->mode) == SMC_JOIN_DIRECT;
}

/*
 * Bytes that come by TCP and are unread, once it receives directly. A FIN that was read with the last
 * of them is one more.
 */
static int smc_join_rest(const struct smc_join *join, const struct sock *sk)
{
	return max_t(int, READ_ONCE(join->received_until) - READ_ONCE(tcp_sk(sk)->copied_seq), 0);
}

static bool smc_join_reads_wire(const struct smc_join *join, const struct sock *sk)
{
	return smc_join_receives(join) && !smc_join_rest(join, sk);
}

/* Data, not the wire's end: that is the program's when TCP says so. */
static bool smc_join_wire_readable(const struct smc_join *join)
{
	return (smc_join_wire_events(join) & (EPOLLIN | EPOLLRDHUP)) == EPOLLIN;
}

/* In process context: at least that many bytes. MSG_TRUNC: nothing is copied. */
static bool smc_join_wire_has(const struct smc_join *join, int bytes)
{
	struct msghdr msg = {};

	return bytes <= 1 || join->wire->ops->recvmsg(join->wire, &msg, bytes,
						      MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) >= bytes;
}

/* Woken by anything, and tries again; to be told from those of TCP in the socket's wait queue. */
static int smc_join_woken(struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	return woken_wake_function(wait, mode, sync, key);
}

static void smc_join_wait_begin(struct sock *sk, struct wait_queue_entry *wait)
{
	add_wait_queue(sk_sleep(sk), wait);
	smp_mb(); /* pairs with wq_has_sleeper() */
}

/* In the socket's wait queue, until woken. 0, or what a signal or its end makes of the call. */
static int smc_join_sleep(struct wait_queue_entry *wait, long *timeo)
{
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	*timeo = wait_woken(wait, TASK_INTERRUPTIBLE, *timeo);
	return 0;
}

/* With a key that poll() and epoll do not ask for. */
void smc_join_wake(struct sock *sk)
{
	struct socket_wq *wq;

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	if (skwq_has_sleeper(wq))
		wake_up_interruptible_poll(&wq->wait, EPOLLMSG);
	rcu_read_unlock();
}

/*
 * Those that had to wait try again. Edge-triggered epolls take each call of sk_write_space() for an
 * event: as TCP, not without need.
 */
void smc_join_has_room(struct sock *sk)
{
	smc_join_wake(sk);
	smp_mb(); /* pairs with smc_join_no_room() */
	if (sk->sk_socket && test_bit(SOCK_NOSPACE, &sk->sk_socket->flags))
		sk->sk_write_space(sk);
}

static bool smc_join_sleeps_in_tcp(struct sock *sk)
{
	struct wait_queue_head *head = sk_sleep(sk);
	struct wait_queue_entry *wait;
	bool sleeps = false;
	unsigned long flags;

	spin_lock_irqsave(&head->lock, flags);
	list_for_each_entry(wait, &head->head, entry)
		sleeps = sleeps || (wait->func == woken_wake_function && wait->private == current);
	spin_unlock_irqrestore(&head->lock, flags);
	return sleeps;
}

/* Also called by sk_wait_event(), which has put itself in the wait queue. Under the slock. */
static void smc_join_release_cb(struct sock *sk)
{
	struct smc_join *join = smc_join_of(sk);

	if (join && smc_join_receives(join) && !sock_flag(sk, SOCK_DEAD) &&
	    smc_join_sleeps_in_tcp(sk)) {
		WRITE_ONCE(join->starved, true);
		smc_join_queue(join, &join->down);
	}
	tcp_prot.release_cb(sk);
}

/* TCP says that nothing more will come. */
static bool smc_join_ended(const struct sock *sk)
{
	return (READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN) || READ_ONCE(sk->sk_err);
}

void smc_join_broke(struct smc_join *join)
{
	WRITE_ONCE(join->broken, true);
	if (smc_join_receives(join))
		smc_join_queue(join, &join->down);
}

/* Does not sleep: what ends the program's side of the connection is to wake it, and SMC does not know. */
static int smc_join_wire_send(struct smc_join *join, struct msghdr *msg)
{
	unsigned int flags = msg->msg_flags;
	int sent;

	/*
	 * An urgent byte is carried as any other. SMC has no timer for what waits because of
	 * MSG_MORE.
	 */
	msg->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	sent = join->wire->ops->sendmsg(join->wire, msg, msg_data_left(msg));
	msg->msg_flags = flags;
	if (sent > 0)
		atomic64_add(sent, &join->sent);
	return sent;
}

static bool smc_join_wire_is_over(int rc)
{
	return rc < 0 && rc != -EAGAIN && rc != -EFAULT && rc != -ENOMEM && rc != -EINTR &&
	       rc != -ERESTARTSYS;
}

/* What waits for EPOLLOUT is told when there is room, and if there was in the meantime. */
static void smc_join_no_room(struct smc_join *join, struct sock *sk)
{
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk); /* SIGIO, as TCP would */
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	smp_mb__after_atomic(); /* pairs with smc_join_has_room() */
	if (!smc_join_outstanding(join, sk) && (smc_join_wire_events(join) & EPOLLOUT))
		sk->sk_write_space(sk);
}

/* Whether the program has ended its side, or TCP the connection. */
static bool smc_join_cannot_send(const struct sock *sk)
{
	return READ_ONCE(sk->sk_err) || (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN);
}

/*
 * One attempt: bytes taken, -EAGAIN if there is no room or others go first, or another error.
 * `waited`: was told so before.
 */
static int smc_join_try_send(struct smc_join *join, struct sock *sk, struct msghdr *msg,
			     bool waited)
{
	size_t left = msg_data_left(msg);
	bool first;
	int rc;

	if (smc_join_cannot_send(sk))
		return -EPIPE;
	if (smc_join_outstanding(join, sk))
		return -EAGAIN;
	smp_rmb(); /* what was taken from the agent's socket is on the wire */
	rc = smc_join_wire_send(join, msg);
	if (!smc_join_wire_is_over(rc))
		return rc;
	/* its own end is the wire's, too */
	if (smc_join_cannot_send(sk))
		return -EPIPE;
	if (!smc_join_receives(join))
		return rc;
	first = !READ_ONCE(join->broken);
	smc_join_broke(join);
	if (!first || waited)
		return -EAGAIN; /* a reset is on its way to who has waited */
	/* TCP would have taken it, and learned then that nobody is there: so do we */
	iov_iter_advance(&msg->msg_iter, left);
	return left;
}

/* Under TCP's rules, unless it sends to the wire by now: false. */
static bool smc_join_send_relayed(struct smc_join *join, struct sock *sk, struct msghdr *msg,
				  size_t len, int *rc)
{
	bool relayed = false;

	if (!smc_join_sends(join)) {
		lock_sock(sk);
		relayed = !smc_join_sends(join);
		if (relayed)
			*rc = tcp_sendmsg_locked(sk, msg, len);
		release_sock(sk);
	}
	return relayed;
}

/* MSG_ZEROCOPY: the program is told that it was a copy. NULL: too many untold. */
static struct ubuf_info *smc_join_copied(struct sock *sk, size_t len)
{
	struct ubuf_info *uarg;

	lock_sock(sk);
	uarg = compat_msg_zerocopy_realloc(sk, len);
	release_sock(sk);
	if (uarg)
		uarg_to_msgzc(uarg)->zerocopy = 0;
	return uarg;
}

static int smc_join_sendmsg(struct sock *sk, struct msghdr *msg, size_t len)
{
	DEFINE_WAIT_FUNC(wait, smc_join_woken);
	struct smc_join *join = smc_join_of(sk);
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	struct ubuf_info *uarg = NULL;
	bool waiting = false;
	int copied = 0;
	int rc = 0;
	int err;

	if (smc_join_send_relayed(join, sk, msg, len, &rc))
		return rc;
	/* io_uring, which has an ubuf_info of its own, tells the program itself */
	if ((msg->msg_flags & MSG_ZEROCOPY) && !msg->msg_ubuf && sock_flag(sk, SOCK_ZEROCOPY)) {
		uarg = smc_join_copied(sk, len);
		if (!uarg)
			return -ENOBUFS;
	}
	while (msg_data_left(msg)) {
		rc = smc_join_try_send(join, sk, msg, waiting);
		if (rc > 0) {
			copied += rc;
			continue;
		}
		if (rc != -EAGAIN || !timeo)
			break;
		if (!waiting) {
			/* then once more: it is told of what changes from here on */
			smc_join_wait_begin(sk, &wait);
			waiting = true;
			continue;
		}
		err = smc_join_sleep(&wait, &timeo);
		if (err) {
			rc = err;
			break;
		}
	}
	if (waiting)
		remove_wait_queue(sk_sleep(sk), &wait);
	if (uarg && copied) {
		net_zcopy_put(uarg);
	} else if (uarg) {
		lock_sock(sk);
		net_zcopy_put_abort(uarg, true);
		release_sock(sk);
	}
	if (rc == -EAGAIN)
		smc_join_no_room(join, sk);
	if (copied || rc >= 0)
		return copied;
	return rc == -EPIPE ? sk_stream_error(sk, msg->msg_flags, rc) : rc;
}

/*
 * smc_join_move() takes from the wire, too: what it has taken is read before what it has not. It
 * does not wait for a program, which can make this last (userfaultfd).
 */
static void smc_join_read_begin(struct smc_join *join)
{
	mutex_lock(&join->reading);
}

static void smc_join_read_end(struct smc_join *join)
{
	mutex_unlock(&join->reading);
	smp_mb(); /* pairs with smc_join_may_move() */
	if (READ_ONCE(join->put_off))
		smc_join_queue(join, &join->down);
}

/* One attempt, of at least one byte: bytes, 0 at TCP's end or error, -EAGAIN, or another error. */
static int smc_join_try_receive(struct smc_join *join, struct sock *sk, struct msghdr *msg,
				size_t len, int flags)
{
	bool ended;
	int rest;
	int got;

	flags = (flags & (MSG_PEEK | MSG_TRUNC)) | MSG_DONTWAIT;
	if (!smc_join_receives(join)) {
		got = join->base->recvmsg(sk, msg, len, flags COMPAT_RECVMSG_NO_NAME);
		/* an end that is behind data of the wire is none yet */
		if (got || !smc_join_receives(join))
			return got;
	}
	/* first: TCP's end comes when nothing is left in the wire */
	ended = smc_join_ended(sk);
	smp_rmb();
	smc_join_read_begin(join);
	rest = smc_join_rest(join, sk);
	/* one that finds nothing would take an urgent byte out of the way, before it was seen */
	got = -EAGAIN;
	if (!rest && (smc_join_wire_events(join) & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		got = join->wire->ops->recvmsg(join->wire, msg, len, flags);
	smc_join_read_end(join);
	if (rest)
		return join->base->recvmsg(sk, msg, min_t(size_t, len, rest),
					   flags COMPAT_RECVMSG_NO_NAME);
	if (got > 0) {
		if (!(flags & MSG_PEEK))
			atomic64_add(got, &join->received);
		return got;
	}
	if (got == -EFAULT)
		return got;
	if (got < 0 && got != -EAGAIN)
		smc_join_broke(join);
	return ended ? 0 : -EAGAIN;
}

/* Whether an attempt would find something else than -EAGAIN; one too many does no harm. */
static bool smc_join_may_receive(const struct smc_join *join, const struct sock *sk)
{
	return smc_join_ended(sk) || !smc_join_reads_wire(join, sk) || smc_join_wire_readable(join);
}

static bool smc_join_is_readable(struct sock *sk)
{
	const struct smc_join *join = smc_join_of(sk);

	return smc_join_receives(join) && smc_join_wire_readable(join) &&
	       smc_join_wire_has(join, READ_ONCE(sk->sk_rcvlowat) - smc_join_rest(join, sk));
}

static int smc_join_recvmsg(struct sock *sk, struct msghdr *msg, size_t len,
			    int flags COMPAT_RECVMSG_NAME)
{
	DEFINE_WAIT_FUNC(wait, smc_join_woken);
	struct smc_join *join = smc_join_of(sk);
	long timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	/* what was peeked at is found again by the next attempt: one has to do */
	int target = flags & MSG_PEEK ? 1 : sock_rcvlowat(sk, flags & MSG_WAITALL, len);
	bool waiting = false;
	int copied = 0;
	int rc;
	int err;

	if (!len && smc_join_is_readable(sk))
		return 0;
	if (!len || (flags & (MSG_OOB | MSG_ERRQUEUE)))
		return join->base->recvmsg(
			sk, msg, len, flags | (len ? 0 : MSG_DONTWAIT)COMPAT_RECVMSG_PASS_NAME);
	for (;;) {
		bool by_tcp = !smc_join_reads_wire(join, sk);

		/* the error is for the next call, as with TCP */
		if (copied && READ_ONCE(sk->sk_err))
			break;
		rc = smc_join_try_receive(join, sk, msg, len - copied, flags);
		if (rc > 0) {
			copied += rc;
			/* where TCP ends and the wire begins: a short read says that there is no more */
			by_tcp = by_tcp && copied < len && !(flags & MSG_PEEK);
			if (copied < target || (by_tcp && smc_join_reads_wire(join, sk)))
				continue;
			break;
		}
		if (rc != -EAGAIN || !timeo || copied >= target)
			break;
		if (!waiting) {
			/* it is told of what changes from here on */
			smc_join_wait_begin(sk, &wait);
			waiting = true;
			if (smc_join_may_receive(join, sk))
				continue;
		}
		err = smc_join_sleep(&wait, &timeo);
		if (err) {
			rc = err;
			break;
		}
	}
	if (waiting)
		remove_wait_queue(sk_sleep(sk), &wait);
	if (!smc_join_receives(join))
		return copied ? copied : rc;
	msg->msg_inq = -1; /* not known: TCP's does not count the wire's */
	if (copied)
		return copied;
	return rc || !READ_ONCE(sk->sk_err) ? rc : sock_error(sk);
}

/* Also asked by TCP, in softirqs, under the socket's lock, which close() takes before it is over. */
static bool smc_join_memory_free(const struct sock *sk, int wake)
{
	const struct smc_join *join = smc_join_of(sk);

	if (smc_join_sends(join))
		return smc_join_wire_events(join) & EPOLLOUT;
	return !join->base->stream_memory_free || join->base->stream_memory_free(sk, wake);
}

static void smc_join_close(struct sock *sk, long timeout)
{
	struct smc_join *join = smc_join_of(sk);
	u8 mode;

	lock_sock(sk);
	mode = join->mode;
	WRITE_ONCE(join->mode, SMC_JOIN_OVER);
	join->sent_until = tcp_sk(sk)->write_seq;
	join->reset = (sock_flag(sk, SOCK_LINGER) && !sk->sk_lingertime) ||
		      (mode == SMC_JOIN_DIRECT && smc_join_rest(join, sk));
	release_sock(sk);
	if (mode == SMC_JOIN_SENDING) {
		smc_join_unhook_wire(join);
		fput(smc_join_take_wire(join)->file);
	} else if (mode == SMC_JOIN_DIRECT) {
		smc_join_unhook_wire(join);
		smc_join_unhook_agent(join);
		/* pairs with smc_join_up(), whose the sockets are now */
		smp_store_release(&join->closed, true);
		smc_join_queue(join, &join->up);
	}
	join->base->close(sk, timeout);
}

/* connect() with AF_UNSPEC, under lock_sock(). The next connection is none of ours. */
static int smc_join_disconnect(struct sock *sk, int flags)
{
	struct smc_join *join = smc_join_of(sk);

	if (smc_join_sends(join))
		return -EOPNOTSUPP;
	WRITE_ONCE(join->mode, SMC_JOIN_OVER);
	return join->base->disconnect(sk, flags);
}

static void smc_join_spd_release(struct splice_pipe_desc *spd, unsigned int i)
{
	put_page(spd->pages[i]);
}

/*
 * SMC's own would give the pipe pages that are overwritten when the socket is closed. The pipe is
 * locked: what it has room for it takes. As much as there is, at most `len`; or -EAGAIN.
 */
static ssize_t smc_join_fill_pipe(struct smc_join *join, struct pipe_inode_info *pipe, size_t len)
{
	ssize_t done = 0;

	while (len && pipe->readers && !pipe_full(pipe->head, pipe->tail, pipe->max_usage) &&
	       (smc_join_wire_events(join) & EPOLLIN)) {
		struct page *page = alloc_page(GFP_KERNEL);
		struct partial_page partial = {};
		struct splice_pipe_desc spd = {
			.pages = &page,
			.partial = &partial,
			.nr_pages = 1,
			.nr_pages_max = 1,
			.ops = &nosteal_pipe_buf_ops,
			.spd_release = smc_join_spd_release,
		};
		struct msghdr msg = {};
		struct kvec to;
		int got;

		if (!page)
			return done ? done : -ENOMEM;
		to.iov_base = page_address(page);
		to.iov_len = min_t(size_t, len, PAGE_SIZE);
		got = kernel_recvmsg(join->wire, &msg, &to, 1, to.iov_len, MSG_DONTWAIT);
		if (got <= 0) {
			put_page(page);
			break;
		}
		partial.len = got;
		if (splice_to_pipe(pipe, &spd) != got)
			break;
		done += got;
		len -= got;
	}
	atomic64_add(done, &join->received);
	return done ? done : -EAGAIN;
}

static ssize_t smc_join_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe,
				    size_t len, unsigned int flags)
{
	DEFINE_WAIT_FUNC(wait, smc_join_woken);
	struct sock *sk = sock->sk;
	struct smc_join *join = smc_join_of(sk);
	long timeo = sock_rcvtimeo(sk, sock->file->f_flags & O_NONBLOCK);
	ssize_t rc;
	int err;

	if (*ppos)
		return -ESPIPE;
	smc_join_wait_begin(sk, &wait);
	for (;;) {
		bool ended = smc_join_ended(sk) || sk->sk_state == TCP_CLOSE;

		smp_rmb();
		if (!smc_join_reads_wire(join, sk)) {
			/* with something there it does not sleep */
			rc = -EAGAIN;
			if (ended ||
			    READ_ONCE(tcp_sk(sk)->copied_seq) != READ_ONCE(tcp_sk(sk)->rcv_nxt))
				rc = join->base_ops->splice_read(sock, ppos, pipe, len, flags);
		} else {
			smc_join_read_begin(join);
			rc = -EAGAIN;
			if (!smc_join_rest(join, sk))
				rc = smc_join_fill_pipe(join, pipe, len);
			smc_join_read_end(join);
		}
		if (rc == -EAGAIN && ended)
			rc = READ_ONCE(sk->sk_err) ? sock_error(sk) : 0;
		if (rc != -EAGAIN || !timeo)
			break;
		err = smc_join_sleep(&wait, &timeo);
		if (err) {
			rc = err;
			break;
		}
	}
	remove_wait_queue(sk_sleep(sk), &wait);
	return rc;
}

static int smc_join_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)
{
	struct smc_join *join = smc_join_of(sock->sk);

	switch (cmd) {
	case SIOCINQ:
	case SIOCATMARK:
		if (smc_join_reads_wire(join, sock->sk))
			return join->wire->ops->ioctl(join->wire, cmd, arg);
		break;
	case SIOCOUTQ:
	case SIOCOUTQNSD:
		if (smc_join_sends(join))
			return join->wire->ops->ioctl(join->wire, cmd, arg);
		break;
	}
	return join->base_ops->ioctl(sock, cmd, arg);
}

/* NULL: those of somebody else, whom we do not know. */
static const struct proto_ops *smc_join_ops_for(const struct proto_ops *base, int family)
{
	struct proto_ops *ops = &smc_join_ops[family];

	spin_lock(&smc_join_ops_lock);
	if (!smc_join_base_ops[family]) {
		/* with its owner, to whom sock_release() gives back what accept() or socket() took */
		*ops = *base;
		ops->splice_read = smc_join_splice_read;
		ops->ioctl = smc_join_ioctl;
		smc_join_base_ops[family] = base;
	} else if (smc_join_base_ops[family] != base) {
		ops = NULL;
	}
	spin_unlock(&smc_join_ops_lock);
	return ops;
}

/*
 * Under the slock. -EAGAIN: nobody has accepted it yet. The socket's ULP data holds a reference
 * to `join` from then on, until smc_join_ulp's release, and `join` the socket.
 */
int smc_join_attach(struct smc_join *join, struct sock *sk, const struct tcp_ulp_ops *ulp)
{
	struct inet_connection_sock *icsk = inet_csk(sk);
	int family = sk->sk_prot == &tcp_prot ? SMC_JOIN_V4 : SMC_JOIN_V6;
	const struct proto_ops *ops;

	if (sk->sk_state != TCP_ESTABLISHED || sk->sk_shutdown || sk->sk_err)
		return -ENOTCONN;
	if (icsk->icsk_ulp_ops || sock_flag(sk, SOCK_ZEROCOPY))
		return -EEXIST;
	if (family == SMC_JOIN_V6 && sk->sk_prot != &tcpv6_prot)
		return -EOPNOTSUPP;
	if (!sk->sk_socket)
		return -EAGAIN;
	if (!sk->sk_socket->file)
		return -EOPNOTSUPP; /* the kernel's own */
	ops = smc_join_ops_for(sk->sk_socket->ops, family);
	if (!ops)
		return -EOPNOTSUPP;
	join->base = sk->sk_prot;
	join->base_ops = sk->sk_socket->ops;
	refcount_inc(&join->refs);
	__module_get(THIS_MODULE); /* tcp_cleanup_ulp() gives it back */
	icsk->icsk_ulp_ops = ulp;
	rcu_assign_pointer(icsk->icsk_ulp_data, (void __rcu *)join);
	/* pairs with the READ_ONCE() of those that call through them: the data above is there */
	smp_wmb();
	WRITE_ONCE(sk->sk_prot, &smc_join_protos[family]);
	WRITE_ONCE(sk->sk_socket->ops, ops);
	spin_lock(&join->lock);
	join->program = sk;
	spin_unlock(&join->lock);
	/*
	 * A close() on its way is TCP's, which would leave us the wire; one that begins from here on is
	 * ours. Pairs with the atomic of the last fput().
	 */
	smp_mb();
	return file_count(sk->sk_socket->file) ? 0 : -ENOTCONN;
}

void smc_join_program_init(void)
{
	int i;

	smc_join_protos[SMC_JOIN_V4] = tcp_prot;
	smc_join_protos[SMC_JOIN_V6] = tcpv6_prot;
	for (i = 0; i < SMC_JOIN_FAMILIES; i++) {
		struct proto *proto = &smc_join_protos[i];

		proto->sendmsg = smc_join_sendmsg;
		proto->recvmsg = smc_join_recvmsg;
		proto->sock_is_readable = smc_join_is_readable;
		proto->stream_memory_free = smc_join_memory_free;
		proto->close = smc_join_close;
		proto->release_cb = smc_join_release_cb;
		proto->disconnect = smc_join_disconnect;
		compat_proto_no_sendpage(proto);
	}
}
