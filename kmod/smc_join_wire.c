// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to the SMC socket and to the agent's end of the loopback connection: data wakes
 * the program, ends are passed on from one to the other, in process context.
 */
#include <linux/file.h>
#include <linux/poll.h>

#include "smc_join.h"

/* How long a peer may take for the last of what the program has sent, until that is dropped. */
#define SMC_JOIN_LINGER (900 * HZ)
/* How long a peer may take to answer a reset until it is told again, and how often it is. */
#define SMC_JOIN_RESET_WAIT  (HZ / 5)
#define SMC_JOIN_RESET_TRIES 10

#define SMC_JOIN_ENDED (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

static __poll_t smc_join_events(struct socket *sock)
{
	return sock->ops->poll(sock->file, sock, NULL);
}

__poll_t smc_join_wire_events(const struct smc_join *join)
{
	return smc_join_events(join->wire);
}

/*
 * `up` waits for its peer, SMC_JOIN_LINGER at worst; a workqueue has this many workers at most. So
 * there are as many of them as it takes for nobody to wait for another one's peer.
 */
#define SMC_JOIN_WORKERS 512
static struct workqueue_struct *smc_join_up_wqs[SMC_JOIN_MAX / SMC_JOIN_WORKERS];
static struct workqueue_struct *smc_join_down_wq;

void smc_join_queue(struct smc_join *join, struct work_struct *work)
{
	struct workqueue_struct *wq = smc_join_down_wq;

	if (work == &join->up)
		wq = smc_join_up_wqs[join->id / SMC_JOIN_WORKERS];
	refcount_inc(&join->refs);
	if (!queue_work(wq, work))
		refcount_dec(&join->refs); /* that of the caller is left */
}

/*
 * Callbacks come from softirqs and from processes, at any time until they are taken back, with the
 * lock: with it held, the program's socket is there.
 */
static struct smc_join *smc_join_of_callback(struct sock *sk)
{
	read_lock_bh(&sk->sk_callback_lock);
	return sk->sk_user_data;
}

/*
 * The wire has come to its end, and the program's socket does not know yet: poll() is to see that when
 * TCP says so.
 */
static bool smc_join_wire_ended(struct smc_join *join, __poll_t events)
{
	if (!(join->flags & SMC_JOIN_URGENT_IS_RESET))
		events &= ~EPOLLPRI;
	if (READ_ONCE(join->mode) != SMC_JOIN_DIRECT || READ_ONCE(join->down_ended) ||
	    !(events & (SMC_JOIN_ENDED | EPOLLPRI)))
		return false;
	/* a reader that finds nothing takes the urgent byte out of the way */
	if (events & EPOLLPRI)
		WRITE_ONCE(join->urgent, true);
	smc_join_wake(join->program);
	smc_join_queue(join, &join->down);
	return true;
}

static void smc_join_wire_data_ready(struct sock *sk)
{
	struct smc_join *join = smc_join_of_callback(sk);

	if (join) {
		__poll_t events = smc_join_wire_events(join);

		join->wire_had.data_ready(sk);
		/* until it is direct this is for the agent; SMC also calls with nothing to read */
		if (READ_ONCE(join->mode) == SMC_JOIN_DIRECT &&
		    !smc_join_wire_ended(join, events) && (events & EPOLLIN))
			join->program->sk_data_ready(join->program);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void smc_join_wire_write_space(struct sock *sk)
{
	struct smc_join *join = smc_join_of_callback(sk);

	if (join) {
		__poll_t events = smc_join_wire_events(join);

		join->wire_had.write_space(sk);
		/* SMC also calls when it has just said that there is no room */
		if (!smc_join_wire_ended(join, events) && (events & EPOLLOUT)) {
			smc_join_has_room(join->program);
			if (READ_ONCE(join->mode) == SMC_JOIN_DIRECT &&
			    smc_join_outstanding(join, join->program))
				smc_join_queue(join, &join->up);
		}
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void smc_join_wire_state_change(struct sock *sk)
{
	struct smc_join *join = smc_join_of_callback(sk);

	if (join) {
		join->wire_had.state_change(sk);
		/* errors come after ends, too; who waits for room finds out that there will be none */
		if (READ_ONCE(join->mode) == SMC_JOIN_DIRECT)
			smc_join_queue(join, &join->down);
		smc_join_wake(join->program);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void smc_join_agent_data_ready(struct sock *sk)
{
	struct smc_join *join = smc_join_of_callback(sk);

	if (join) {
		join->agent_had.data_ready(sk);
		smc_join_queue(join, &join->up);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void smc_join_agent_write_space(struct sock *sk)
{
	struct smc_join *join = smc_join_of_callback(sk);

	if (join) {
		join->agent_had.write_space(sk);
		smc_join_queue(join, &join->down);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void smc_join_agent_state_change(struct sock *sk)
{
	struct smc_join *join = smc_join_of_callback(sk);

	if (join) {
		join->agent_had.state_change(sk);
		smc_join_queue(join, &join->up);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static int smc_join_hook_one(struct smc_join *join, struct sock *sk, struct smc_join_callbacks *had,
			     const struct smc_join_callbacks *callbacks)
{
	int err = 0;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data) {
		err = -EBUSY;
	} else {
		had->data_ready = sk->sk_data_ready;
		had->write_space = sk->sk_write_space;
		had->state_change = sk->sk_state_change;
		sk->sk_user_data = join;
		sk->sk_data_ready = callbacks->data_ready;
		sk->sk_state_change = callbacks->state_change;
		sk->sk_write_space = callbacks->write_space;
	}
	write_unlock_bh(&sk->sk_callback_lock);
	return err;
}

static void smc_join_unhook_one(struct sock *sk, const struct smc_join_callbacks *had)
{
	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_data_ready = had->data_ready;
	sk->sk_write_space = had->write_space;
	sk->sk_state_change = had->state_change;
	sk->sk_user_data = NULL;
	write_unlock_bh(&sk->sk_callback_lock);
}

int smc_join_hook_wire(struct smc_join *join, struct socket *wire)
{
	static const struct smc_join_callbacks callbacks = {
		.data_ready = smc_join_wire_data_ready,
		.write_space = smc_join_wire_write_space,
		.state_change = smc_join_wire_state_change,
	};
	int err;

	spin_lock_bh(&join->lock);
	join->wire = wire;
	spin_unlock_bh(&join->lock);
	err = smc_join_hook_one(join, wire->sk, &join->wire_had, &callbacks);
	if (err)
		smc_join_take_wire(join);
	return err;
}

int smc_join_hook_agent(struct smc_join *join, struct socket *agent)
{
	static const struct smc_join_callbacks callbacks = {
		.data_ready = smc_join_agent_data_ready,
		.write_space = smc_join_agent_write_space,
		.state_change = smc_join_agent_state_change,
	};

	int err;

	join->agent_socket = agent;
	err = smc_join_hook_one(join, agent->sk, &join->agent_had, &callbacks);
	if (err)
		return err;
	/*
	 * The wire's shutdown() and close() are ours from now on, and wait for the peer to take what
	 * is there. The agent, whose they were, has others to serve.
	 */
	join->wire->sk->sk_lingertime = SMC_JOIN_LINGER;
	set_bit(SOCK_LINGER, &join->wire->sk->sk_flags); /* SMC sets others meanwhile */
	return 0;
}

void smc_join_unhook_wire(struct smc_join *join)
{
	smc_join_unhook_one(join->wire->sk, &join->wire_had);
}

void smc_join_unhook_agent(struct smc_join *join)
{
	smc_join_unhook_one(join->agent_socket->sk, &join->agent_had);
}

static int smc_join_peek(struct socket *sock, void *buffer, size_t size)
{
	struct msghdr msg = {};
	struct kvec to = {.iov_base = buffer, .iov_len = size};

	return kernel_recvmsg(sock, &msg, &to, 1, size, MSG_PEEK | MSG_DONTWAIT);
}

/* Whether a socket has data (1), an end (0), an error, or nothing new (-EAGAIN). */
static int smc_join_look(struct socket *sock)
{
	char byte;

	return smc_join_peek(sock, &byte, 1);
}

/* Whether it has one of these within `timeo`, in jiffies. */
static bool smc_join_wait_for(struct socket *sock, __poll_t events, long timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	bool has;

	add_wait_queue(sk_sleep(sock->sk), &wait);
	smp_mb(); /* pairs with wq_has_sleeper() */
	while (!(has = smc_join_events(sock) & events) && timeo)
		timeo = wait_woken(&wait, TASK_IDLE, timeo);
	remove_wait_queue(sk_sleep(sock->sk), &wait);
	return has;
}

static bool smc_join_say_reset(struct socket *wire)
{
	struct msghdr msg = {.msg_flags = MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL};
	char byte = 0;
	struct kvec from = {.iov_base = &byte, .iov_len = 1};

	return kernel_sendmsg(wire, &msg, &from, 1, 1) == 1;
}

/*
 * SMC-D does not send messages but the state of things: whatever is said after an urgent byte takes
 * it back unless the peer has looked in between. So its answer is waited for, which is an end; and it
 * is said again, since a read at the wrong moment makes the byte disappear. With no room for it the
 * peer sees an end when it has read the rest.
 */
static void smc_join_send_reset(struct socket *wire)
{
	int i;

	for (i = 0; i <= SMC_JOIN_RESET_TRIES; i++) {
		bool said = smc_join_say_reset(wire);

		if ((!i && !said) || smc_join_wait_for(wire, SMC_JOIN_ENDED, SMC_JOIN_RESET_WAIT))
			break;
	}
}

/* The program has closed, and not all that it had sent by TCP is taken. */
static bool smc_join_is_late(const struct smc_join *join)
{
	return (s32)(join->sent_until - READ_ONCE(tcp_sk(join->agent)->copied_seq)) > 0;
}

/*
 * What comes to the agent's socket from who was inside of TCP, or on the way there. It is taken when it
 * is on the wire: until then smc_join_outstanding() has the others wait. 0: its end; -EAGAIN:
 * nothing more yet, or no room; or an error. `over`: nobody will call us again, so waits here.
 */
static int smc_join_forward(struct smc_join *join, bool over)
{
	struct socket *agent = join->agent_socket;
	void *page = NULL;
	int got;

	while (true) {
		struct msghdr msg = {.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL};
		struct kvec from;
		int sent;

		got = page ? smc_join_peek(agent, page, PAGE_SIZE) : smc_join_look(agent);
		if (got == -EAGAIN && over && smc_join_is_late(join)) {
			if (smc_join_wait_for(agent, EPOLLIN | SMC_JOIN_ENDED, SMC_JOIN_LINGER))
				continue;
			got = -ETIMEDOUT;
		}
		if (got <= 0)
			break;
		if (!page) {
			page = (void *)__get_free_page(GFP_KERNEL);
			if (page)
				continue;
			got = -ENOMEM;
			break;
		}
		from.iov_base = page;
		from.iov_len = got;
		sent = kernel_sendmsg(join->wire, &msg, &from, 1, got);
		if (sent == -EAGAIN && over) {
			if (smc_join_wait_for(join->wire, EPOLLOUT | SMC_JOIN_ENDED,
					      SMC_JOIN_LINGER))
				continue;
			sent = -ETIMEDOUT;
		}
		if (sent < 0) {
			got = sent;
			/* of the wire, which does not say so again */
			if (sent != -EAGAIN && !over)
				smc_join_broke(join);
			break;
		}
		atomic64_add(sent, &join->sent);
		memset(&msg, 0, sizeof(msg));
		kernel_recvmsg(agent, &msg, &from, 1, sent, MSG_TRUNC | MSG_DONTWAIT);
	}
	free_page((unsigned long)page);
	return got;
}

static void smc_join_up(struct work_struct *work)
{
	struct smc_join *join = container_of(work, struct smc_join, up);
	/* pairs with smc_join_close(): nobody but us has the sockets any more */
	bool over = smp_load_acquire(&join->closed);
	bool reset;
	int got;

	if (!join->wire)
		goto out;
	got = smc_join_forward(join, over);
	reset = join->reset || (got < 0 && got != -EAGAIN);
	if (over && smc_join_look(join->wire) > 0) {
		/* closed with unread data: of itself SMC says so, unless it has said more before */
		join->wire->sk->sk_lingertime = 0;
	} else if ((got != -EAGAIN || over) && !join->up_ended) {
		join->up_ended = true;
		if (reset && !READ_ONCE(join->deaf) && (join->flags & SMC_JOIN_URGENT_IS_RESET))
			smc_join_send_reset(join->wire);
		if (reset)
			join->wire->sk->sk_lingertime = 0;
		kernel_sock_shutdown(join->wire, reset ? SHUT_RDWR : SHUT_WR);
	}
	if (over) {
		if (cancel_work_sync(&join->down))
			smc_join_put(join);
		/* the agent, if it is there, is told by EPOLLHUP */
		kernel_sock_shutdown(join->agent_socket, SHUT_RDWR);
		/* has been waited for; close() happens in a worker that is everybody's */
		join->wire->sk->sk_lingertime = 0;
		fput(smc_join_take_wire(join)->file);
		fput(join->agent_socket->file);
	}
out:
	smc_join_put(join);
}

/* Not while the program reads: then smc_join_read_end() calls again. */
static bool smc_join_may_move(struct smc_join *join)
{
	WRITE_ONCE(join->put_off, true);
	smp_mb(); /* pairs with smc_join_read_end() */
	if (!mutex_trylock(&join->reading))
		return false;
	WRITE_ONCE(join->put_off, false);
	return true;
}

/*
 * From the wire to the program by TCP, a piece, or all there is. False: not yet all; when there is room,
 * or the program has read, we are called again.
 */
static bool smc_join_move(struct smc_join *join, bool all)
{
	void *page = (void *)__get_free_page(GFP_KERNEL);
	bool done = !page;
	int got;

	while (!done && (smc_join_events(join->agent_socket) & EPOLLOUT) &&
	       smc_join_may_move(join)) {
		struct msghdr msg = {};
		struct kvec piece = {.iov_base = page, .iov_len = PAGE_SIZE};

		got = -EAGAIN;
		if (smc_join_wire_events(join) & EPOLLIN)
			got = kernel_recvmsg(join->wire, &msg, &piece, 1, PAGE_SIZE, MSG_DONTWAIT);
		if (got > 0)
			WRITE_ONCE(join->received_until, join->received_until + got);
		mutex_unlock(&join->reading);
		if (got > 0) {
			atomic64_add(got, &join->received);
			memset(&msg, 0, sizeof(msg));
			msg.msg_flags = MSG_NOSIGNAL;
			piece.iov_base = page;
			piece.iov_len = got;
			kernel_sendmsg(join->agent_socket, &msg, &piece, 1, got);
		}
		done = got <= 0 || !all;
	}
	free_page((unsigned long)page);
	return done;
}

static void smc_join_down(struct work_struct *work)
{
	struct smc_join *join = container_of(work, struct smc_join, down);
	__poll_t events;
	bool urgent;

	if (join->left) {
		if (join->flags & SMC_JOIN_URGENT_IS_RESET)
			smc_join_send_reset(join->left);
		kernel_sock_shutdown(join->left, SHUT_RDWR);
		fput(join->left->file);
		join->left = NULL;
		goto out;
	}
	events = smc_join_wire_events(join);
	urgent = (join->flags & SMC_JOIN_URGENT_IS_RESET) &&
		 ((events & EPOLLPRI) || READ_ONCE(join->urgent));
	if (READ_ONCE(join->broken) || urgent || (events & EPOLLERR)) {
		WRITE_ONCE(join->deaf, true);
		tcp_abort(join->agent_socket->sk, ECONNRESET);
	} else if (join->down_ended) {
		goto out;
	} else if (events & EPOLLRDHUP) {
		if (smc_join_move(join, true)) {
			WRITE_ONCE(join->down_ended, true);
			kernel_sock_shutdown(join->agent_socket, SHUT_WR);
		}
	} else if (xchg(&join->starved, false)) {
		if (!smc_join_move(join, false))
			WRITE_ONCE(join->starved, true);
	}
out:
	smc_join_put(join);
}

void smc_join_wire_module_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(smc_join_up_wqs); i++)
		if (smc_join_up_wqs[i])
			destroy_workqueue(smc_join_up_wqs[i]);
	if (smc_join_down_wq)
		destroy_workqueue(smc_join_down_wq);
}

int smc_join_wire_module_init(void)
{
	int i;

	smc_join_down_wq = alloc_workqueue("smc_join", WQ_UNBOUND, 0);
	for (i = 0; i < ARRAY_SIZE(smc_join_up_wqs); i++)
		smc_join_up_wqs[i] =
			alloc_workqueue("smc_join_%d", WQ_UNBOUND, SMC_JOIN_WORKERS, i);
	for (i = 0; i < ARRAY_SIZE(smc_join_up_wqs) && smc_join_up_wqs[i]; i++)
		;
	if (smc_join_down_wq && i == ARRAY_SIZE(smc_join_up_wqs))
		return 0;
	smc_join_wire_module_exit();
	return -ENOMEM;
}

void smc_join_wire_init(struct smc_join *join)
{
	mutex_init(&join->reading);
	INIT_WORK(&join->up, smc_join_up);
	INIT_WORK(&join->down, smc_join_down);
}
