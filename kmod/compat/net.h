/* SPDX-License-Identifier: GPL-2.0-only */
/* As compat.h, for what tcp_ivpci takes of the network stack. */
#ifndef TCP_IVPCI_COMPAT_H
#define TCP_IVPCI_COMPAT_H

#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/sock.h>
#include <net/transp_v6.h>

/* struct proto's recvmsg(): its last parameter where it has one, and what to pass for it */
#ifdef IVPCI_HAVE_RECVMSG_NAME
#define COMPAT_RECVMSG_NAME	 , int *name_length
#define COMPAT_RECVMSG_PASS_NAME , name_length
#define COMPAT_RECVMSG_NO_NAME	 , NULL
#else
#define COMPAT_RECVMSG_NAME
#define COMPAT_RECVMSG_PASS_NAME
#define COMPAT_RECVMSG_NO_NAME
#endif

#ifdef IVPCI_HAVE_LOOKUP_HASHINFO
#define COMPAT_HASHINFO(net) (net)->ipv4.tcp_death_row.hashinfo,
#else
#define COMPAT_HASHINFO(net)
#endif

/*
 * With a reference. Ports as the kernel's: `sport` in network order, `hnum` in the host's. The kernel's own
 * functions want rcu_read_lock(), which their callers have had since the packet came in.
 */
static inline struct sock *compat_inet_lookup_established(struct net *net, __be32 saddr,
							  __be16 sport, __be32 daddr, u16 hnum,
							  int dif)
{
	struct sock *sk;

	rcu_read_lock();
	sk = __inet_lookup_established(net, COMPAT_HASHINFO(net) saddr, sport, daddr, hnum, dif, 0);
	rcu_read_unlock();
	return sk;
}

#if IS_ENABLED(CONFIG_IPV6)
/* Likewise. */
static inline struct sock *
compat_inet6_lookup_established(struct net *net, const struct in6_addr *saddr, __be16 sport,
				const struct in6_addr *daddr, u16 hnum, int dif)
{
	struct sock *sk;

	rcu_read_lock();
	sk = __inet6_lookup_established(net, COMPAT_HASHINFO(net) saddr, sport, daddr, hnum, dif,
					0);
	rcu_read_unlock();
	return sk;
}
#endif

#endif
