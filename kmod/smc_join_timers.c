// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TCP socket inside of an SMC socket is one of the kernel's own, from which tcp_close() takes the
 * timers, since their network namespace may be gone when one fires. A FIN that gets lost is never
 * sent again then: the peer never hears of the end where the SMC socket has fallen back, and the
 * socket stays for ever. Newer kernels have it hold its namespace, as a program's does
 * (smc_create_clcsk()). On others we do so for the wires of agents; what a listener accepts takes after it,
 * also what nobody gets to see.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/net.h>

#include "compat/net.h"
#include "smc_join.h"

/* With a reference; NULL: it is gone, or not of IPv6, as agents' are. */
static struct sock *smc_join_find_inner(struct socket *wire)
{
	struct net *net = sock_net(wire->sk);
	struct sockaddr_storage names[2];
	const struct sockaddr_in6 *own = (void *)&names[0];
	const struct sockaddr_in6 *peer = (void *)&names[1];
	struct sock *sk = NULL;

	if (kernel_getsockname(wire, (struct sockaddr *)own) < 0 || own->sin6_family != AF_INET6)
		return NULL;
#if IS_ENABLED(CONFIG_IPV6)
	/* SMC_LISTEN has the same number */
	if (wire->sk->sk_state == TCP_LISTEN)
		return compat_inet6_lookup_listener(net, &own->sin6_addr, ntohs(own->sin6_port));
#endif
	if (kernel_getpeername(wire, (struct sockaddr *)peer) < 0)
		return NULL;
	if (ipv6_addr_v4mapped(&peer->sin6_addr))
		sk = compat_inet_lookup_established(net, peer->sin6_addr.s6_addr32[3],
						    peer->sin6_port, own->sin6_addr.s6_addr32[3],
						    ntohs(own->sin6_port), 0);
#if IS_ENABLED(CONFIG_IPV6)
	else
		sk = compat_inet6_lookup_established(net, &peer->sin6_addr, peer->sin6_port,
						     &own->sin6_addr, ntohs(own->sin6_port), 0);
#endif
	if (sk && !sk_fullsock(sk)) {
		sock_gen_put(sk);
		return NULL;
	}
	return sk;
}

/* Nobody's but the kernel's, and not closed: then its timers are gone. */
static int smc_join_hold_net(struct sock *sk)
{
	int err = -ENOTCONN;

	lock_sock(sk);
	if (sk->sk_kern_sock && !sock_flag(sk, SOCK_DEAD)) {
		err = 0;
		if (!sk->sk_net_refcnt)
			compat_sk_net_refcnt_upgrade(sk);
	}
	release_sock(sk);
	return err;
}

int smc_join_keep_timers(int fd)
{
	struct socket *wire;
	struct sock *sk;
	int err;

	wire = sockfd_lookup(fd, &err);
	if (!wire)
		return err;
	err = -EINVAL;
	if (sk_is_tcp(wire->sk)) {
		/* one that has fallen back has it in its file */
		err = smc_join_hold_net(wire->sk);
	} else if (smc_join_is_smc(wire)) {
		/* one that is about to fall back has no name for a moment */
		err = -EAGAIN;
		sk = smc_join_find_inner(wire);
		if (sk) {
			err = smc_join_hold_net(sk);
			sock_put(sk);
		}
	}
	sockfd_put(wire);
	return err;
}
