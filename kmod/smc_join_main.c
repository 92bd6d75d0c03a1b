// SPDX-License-Identifier: GPL-2.0-only
/*
 * The upper layer protocol as the agent sees it: on its own socket, by smc_steer/join_abi.h.
 */
#include <linux/file.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <net/flow.h>
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>

#include <smc_steer/version.h>

#include "compat/net.h"
#include "smc_join.h"

static DEFINE_IDA(smc_join_ids);
static struct proto smc_join_agent_v4;
static struct proto smc_join_agent_v6;
static struct tcp_ulp_ops smc_join_ulp;

/* What the agent's socket had before it was ours. */
static struct proto *smc_join_agent_base(const struct sock *sk)
{
	return sk->sk_family == AF_INET ? &tcp_prot : &tcpv6_prot;
}

void smc_join_put(struct smc_join *join)
{
	if (refcount_dec_and_test(&join->refs)) {
		ida_free(&smc_join_ids, join->id);
		sock_put(join->agent);
		kfree(join);
	}
}

/* The other end of a connection over the loopback interface, with a reference; NULL: none (yet). */
static struct sock *smc_join_find(const struct sock *sk)
{
	const struct inet_sock *inet = inet_sk(sk);
	struct sock *other;

#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6 && !ipv6_addr_v4mapped(&sk->sk_v6_daddr))
		other = compat_inet6_lookup_established(sock_net(sk), &sk->sk_v6_rcv_saddr,
							inet->inet_sport, &sk->sk_v6_daddr,
							ntohs(inet->inet_dport), LOOPBACK_IFINDEX);
	else
#endif
		other = compat_inet_lookup_established(sock_net(sk), inet->inet_rcv_saddr,
						       inet->inet_sport, inet->inet_daddr,
						       ntohs(inet->inet_dport), LOOPBACK_IFINDEX);
	if (other && (!sk_fullsock(other) || other == sk)) {
		sock_gen_put(other);
		return NULL;
	}
	return other;
}

/* With a reference; NULL: not found yet, or gone. */
static struct sock *smc_join_program(struct smc_join *join)
{
	struct sock *sk;

	spin_lock_bh(&join->lock);
	sk = join->program;
	if (sk)
		sock_hold(sk);
	spin_unlock_bh(&join->lock);
	return sk;
}

/*
 * Unless somebody is inside of TCP just now: what a program does there can last (userfaultfd), and the
 * agent has others to serve.
 */
static bool smc_join_trylock(struct sock *program)
{
	local_bh_disable();
	bh_lock_sock(program);
	if (!sock_owned_by_user(program))
		return true;
	bh_unlock_sock(program);
	local_bh_enable();
	return false;
}

static void smc_join_unlock(struct sock *program)
{
	bh_unlock_sock(program);
	local_bh_enable();
}

static int smc_join_prepare(struct smc_join *join)
{
	struct sock *sk = smc_join_program(join);
	int err;

	if (!sk) {
		if (join->base)
			return -ENOTCONN;
		sk = smc_join_find(join->agent);
		if (!sk)
			return -EAGAIN;
	}
	err = -EAGAIN;
	if (smc_join_trylock(sk)) {
		err = join->base ? 0 : smc_join_attach(join, sk, &smc_join_ulp);
		if (!err && sock_flag(sk, SOCK_DEAD))
			err = -ENOTCONN;
		/* what is corked would have to be waited for */
		if (!err && (tcp_sk(sk)->nonagle & TCP_NAGLE_CORK))
			err = -EAGAIN;
		smc_join_unlock(sk);
	}
	sock_put(sk);
	return err;
}

/*
 * And connected: SMC_ACTIVE has the same number, sock->state may still say SS_CONNECTING. The file of
 * one that has fallen back to TCP has the TCP socket inside of it by then.
 */
static bool smc_join_is_active(const struct socket *sock)
{
	return smc_join_is_smc(sock) && sock->sk->sk_state == TCP_ESTABLISHED;
}

/* Under smc_join_trylock(program). */
static bool smc_join_established(const struct sock *program)
{
	return program->sk_state == TCP_ESTABLISHED && !program->sk_shutdown && !program->sk_err &&
	       !sock_flag(program, SOCK_DEAD);
}

/* Takes over the reference to the wire's file, unless it fails. */
static int smc_join_go_send(struct smc_join *join, struct sock *sk, struct socket *wire)
{
	int err;

	if (!smc_join_established(sk) || join->mode != SMC_JOIN_RELAYED)
		return -ENOTCONN;
	err = smc_join_hook_wire(join, wire);
	if (err)
		return err;
	/* pairs with smc_join_sends(), and with smc_join_receives() below */
	smp_store_release(&join->mode, SMC_JOIN_SENDING);
	return 0;
}

static int smc_join_send(struct smc_join *join, const struct smc_join_wire *given)
{
	struct sock *sk = smc_join_program(join);
	struct socket *wire;
	int err;

	if (!sk)
		return -ENOTCONN;
	wire = sockfd_lookup(given->fd, &err);
	if (wire) {
		err = -EINVAL;
		if (smc_join_is_active(wire) && !(given->flags & ~SMC_JOIN_URGENT_IS_RESET)) {
			err = -EAGAIN;
			if (smc_join_trylock(sk)) {
				join->flags = given->flags;
				err = smc_join_go_send(join, sk, wire);
				smc_join_unlock(sk);
			}
		}
		if (err)
			sockfd_put(wire);
	}
	sock_put(sk);
	return err;
}

/* Likewise, and to the agent's. */
static int smc_join_go_receive(struct smc_join *join, struct sock *sk, struct socket *agent)
{
	int err;

	if (!smc_join_established(sk) || agent->sk->sk_state != TCP_ESTABLISHED ||
	    join->mode != SMC_JOIN_SENDING)
		return -ENOTCONN;
	join->received_until = READ_ONCE(tcp_sk(agent->sk)->write_seq);
	err = smc_join_hook_agent(join, agent);
	if (err)
		return err;
	get_file(agent->file);
	smp_store_release(&join->mode, SMC_JOIN_DIRECT);
	smc_join_wake(sk);
	if (smc_join_wire_events(join) & EPOLLIN)
		sk->sk_data_ready(sk);
	/* for what has happened before there were callbacks */
	smc_join_queue(join, &join->up);
	smc_join_queue(join, &join->down);
	return 0;
}

static int smc_join_receive(struct smc_join *join)
{
	struct sock *sk = smc_join_program(join);
	int err = -EAGAIN;

	if (!sk)
		return -ENOTCONN;
	if (smc_join_trylock(sk)) {
		err = smc_join_go_receive(join, sk, join->agent->sk_socket);
		smc_join_unlock(sk);
	}
	sock_put(sk);
	return err;
}

static int smc_join_setsockopt(struct sock *sk, int level, int optname, sockptr_t optval,
			       unsigned int optlen)
{
	struct smc_join *join = smc_join_of(sk);
	struct smc_join_wire wire = {};
	unsigned int size = optname == SMC_JOIN_SEND ? sizeof(wire) : sizeof(int);

	if (level != SOL_SMC_JOIN)
		return smc_join_agent_base(sk)->setsockopt(sk, level, optname, optval, optlen);
	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	if (optlen != size)
		return -EINVAL;
	if (copy_from_sockptr(&wire, optval, size))
		return -EFAULT;
	switch (optname) {
	case SMC_JOIN_PREPARE:
		return smc_join_prepare(join);
	case SMC_JOIN_SEND:
		return smc_join_send(join, &wire);
	case SMC_JOIN_RECEIVE:
		return smc_join_receive(join);
	case SMC_JOIN_TIMERS:
		return smc_join_keep_timers(wire.fd);
	}
	return -ENOPROTOOPT;
}

/* What was sent by TCP and is taken now is on the wire: smc_steer/join_abi.h. */
static int smc_join_agent_recvmsg(struct sock *sk, struct msghdr *msg, size_t len,
				  int flags COMPAT_RECVMSG_NAME)
{
	int got = smc_join_agent_base(sk)->recvmsg(sk, msg, len, flags COMPAT_RECVMSG_PASS_NAME);
	struct smc_join *join = smc_join_of(sk);

	if (got <= 0 || (flags & MSG_PEEK) || !READ_ONCE(join->wire))
		return got;
	spin_lock_bh(&join->lock);
	if (join->program && join->wire)
		smc_join_has_room(join->program);
	spin_unlock_bh(&join->lock);
	return got;
}

static int smc_join_getsockopt(struct sock *sk, int level, int optname, char __user *optval,
			       int __user *optlen)
{
	struct smc_join *join = smc_join_of(sk);
	struct smc_join_info info = {};
	int len;

	if (level != SOL_SMC_JOIN)
		return smc_join_agent_base(sk)->getsockopt(sk, level, optname, optval, optlen);
	if (optname != SMC_JOIN_INFO)
		return -ENOPROTOOPT;
	if (get_user(len, optlen))
		return -EFAULT;
	if (len < (int)sizeof(info))
		return -EINVAL;
	info.sent = atomic64_read(&join->sent);
	info.received = atomic64_read(&join->received);
	if (put_user((int)sizeof(info), optlen) || copy_to_user(optval, &info, sizeof(info)))
		return -EFAULT;
	return 0;
}

/*
 * TCP_ULP of the agent's socket, under lock_sock(). Of an unconnected one: to see whether we are there.
 * Not for the root of some user namespace: it would be much code for those to play with.
 */
static int smc_join_init(struct sock *sk)
{
	struct smc_join *join;
	int err;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	if (sk->sk_prot != &tcp_prot && sk->sk_prot != &tcpv6_prot)
		return -EOPNOTSUPP;
	join = kzalloc(sizeof(*join), GFP_KERNEL);
	if (!join)
		return -ENOMEM;
	join->id = ida_alloc_max(&smc_join_ids, SMC_JOIN_MAX - 1, GFP_KERNEL);
	if (join->id < 0) {
		err = join->id;
		kfree(join);
		return err;
	}
	refcount_set(&join->refs, 1);
	spin_lock_init(&join->lock);
	smc_join_wire_init(join);
	sock_hold(sk);
	join->agent = sk;
	rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, (void __rcu *)join);
	WRITE_ONCE(sk->sk_prot, sk->sk_prot == &tcp_prot ? &smc_join_agent_v4 : &smc_join_agent_v6);
	return 0;
}

/* A socket of ours is destroyed, the agent's or the program's; in softirqs, too. */
static void smc_join_release(struct sock *sk)
{
	struct smc_join *join = smc_join_of(sk);

	/* with it held, who has the program's socket from `join` calls by way of this data */
	spin_lock_bh(&join->lock);
	rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, NULL);
	if (sk != join->agent) {
		join->program = NULL;
		WRITE_ONCE(sk->sk_prot, join->base);
	} else {
		WRITE_ONCE(sk->sk_prot, smc_join_agent_base(sk));
		/* an agent that dies leaves a wire */
		if (join->wire && READ_ONCE(join->mode) == SMC_JOIN_SENDING) {
			join->left = join->wire;
			get_file(join->left->file);
			smc_join_queue(join, &join->down);
		}
	}
	spin_unlock_bh(&join->lock);
	smc_join_put(join);
}

static struct tcp_ulp_ops smc_join_ulp __read_mostly = {
	.name = SMC_JOIN_ULP,
	.owner = THIS_MODULE,
	.init = smc_join_init,
	.release = smc_join_release,
};

static void __init smc_join_agent_proto(struct proto *proto, const struct proto *base)
{
	*proto = *base;
	proto->recvmsg = smc_join_agent_recvmsg;
	proto->setsockopt = smc_join_setsockopt;
	proto->getsockopt = smc_join_getsockopt;
}

static int __init smc_join_module_init(void)
{
	int err;

	err = smc_join_wire_module_init();
	if (err)
		return err;
	smc_join_agent_proto(&smc_join_agent_v4, &tcp_prot);
	smc_join_agent_proto(&smc_join_agent_v6, &tcpv6_prot);
	smc_join_program_init();
	err = tcp_register_ulp(&smc_join_ulp);
	if (err)
		smc_join_wire_module_exit();
	return err;
}

static void __exit smc_join_module_exit(void)
{
	tcp_unregister_ulp(&smc_join_ulp);
	smc_join_wire_module_exit();
	/* callbacks that were on their way in when they were taken back */
	synchronize_rcu();
}

module_init(smc_join_module_init);
module_exit(smc_join_module_exit);

MODULE_DESCRIPTION("TCP sockets of programs carried on by SMC sockets (smc-steer)");
MODULE_LICENSE("GPL");
MODULE_VERSION(STEER_VERSION);
MODULE_ALIAS_TCP_ULP(SMC_JOIN_ULP);
