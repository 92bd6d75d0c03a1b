// SPDX-License-Identifier: GPL-2.0-only
/* __inet_lookup_established() is told which table to look into: until Linux 6.18 */
#include <net/inet_hashtables.h>

static __maybe_unused struct sock *probe(struct net *net)
{
	return __inet_lookup_established(net, net->ipv4.tcp_death_row.hashinfo, 0, 0, 0, 0, 0, 0);
}
