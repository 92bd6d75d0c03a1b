// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to the SMC socket and to the agent's end of the loopback connection: data wakes
 * the program, ends are passed on from one to the other, in process context.
 */
#include <linux/file.h>
#include <linux/poll.h>

#include "smc_join.h"

/* How long what the program has sent may take when it has closed, until it is dropped. */
#define SMC_JOIN_LINGER (30 * HZ)
/* How long a peer may take to answer a reset until it is told again, and how often it is. */
#define SMC_JOIN_RESET_WAIT  (HZ / 5)
#define SMC_JOIN_RESET_TRIES 10

__poll_t smc_join_wire_events(const struct smc_join *join)
{
	struct socket *wire = join->wire;

	return wire->ops->poll(wire->file, wire, NULL);
}

void smc_join_queue(struct smc_join *join, struct work_struct *work)
{
	refcount_inc(&join->refs);
	if (!queue_work(smc_join_wq, work))
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
	if (READ_ONCE(join->mode) != SMC_JOIN_DIRECT || READ_ONCE(join->down_ended) ||
	    !(events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP | EPOLLPRI)))
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
		join->wire_had.write_space(sk);
		if (!smc_join_wire_ended(join, smc_join_wire_events(join)))
			join->program->sk_write_space(join->program);
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

static void smc_join_agent_state_change(struct sock *sk)
{
	struct smc_join *join = smc_join_of_callback(sk);

	if (join) {
		join->agent_had.state_change(sk);
		smc_join_queue(join, &join->up);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

/* `callbacks`: those that are not to be changed are NULL. */
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
		if (callbacks->write_space)
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
	sock_set_flag(join->wire->sk, SOCK_LINGER);
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

/* Whether a socket has data (1), an end (0), an error, or nothing new (-EAGAIN). */
static int smc_join_peek(struct socket *sock)
{
	struct msghdr msg = {};
	struct kvec to;
	char byte;

	to.iov_base = &byte;
	to.iov_len = 1;
	return kernel_recvmsg(sock, &msg, &to, 1, 1, MSG_PEEK | MSG_DONTWAIT);
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
	const __poll_t ended = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int i;

	if (!smc_join_say_reset(wire))
		return;
	add_wait_queue(sk_sleep(wire->sk), &wait);
	for (i = 0; i < SMC_JOIN_RESET_TRIES; i++) {
		long timeo = SMC_JOIN_RESET_WAIT;

		while (timeo && !(wire->ops->poll(wire->file, wire, NULL) & ended))
			timeo = wait_woken(&wait, TASK_IDLE, timeo);
		if (timeo)
			break;
		smc_join_say_reset(wire);
	}
	remove_wait_queue(sk_sleep(wire->sk), &wait);
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
	got = smc_join_peek(join->agent_socket);
	reset = join->reset || (got < 0 && got != -EAGAIN);
	if (got > 0) {
		/*
		 * Some thread was on its way into tcp_sendmsg() from before it was ours, for all
		 * the time between SMC_JOIN_PREPARE and SMC_JOIN_SEND. Its bytes have no place in
		 * the stream any more.
		 */
		pr_warn_ratelimited("smc_join: data on a connection that is joined: reset\n");
		tcp_abort(join->agent_socket->sk, ECONNRESET);
		reset = true;
	}
	if (over && smc_join_peek(join->wire) > 0) {
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
		fput(smc_join_take_wire(join)->file);
		fput(join->agent_socket->file);
	}
out:
	smc_join_put(join);
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
	urgent = ((events & EPOLLPRI) || READ_ONCE(join->urgent)) &&
		 (join->flags & SMC_JOIN_URGENT_IS_RESET);
	if (READ_ONCE(join->broken) || urgent || (events & EPOLLERR)) {
		WRITE_ONCE(join->deaf, true);
		tcp_abort(join->agent_socket->sk, ECONNRESET);
	} else if ((events & EPOLLRDHUP) && !join->down_ended) {
		WRITE_ONCE(join->down_ended, true);
		kernel_sock_shutdown(join->agent_socket, SHUT_WR);
	}
out:
	smc_join_put(join);
}

void smc_join_wire_init(struct smc_join *join)
{
	INIT_WORK(&join->up, smc_join_up);
	INIT_WORK(&join->down, smc_join_down);
}
