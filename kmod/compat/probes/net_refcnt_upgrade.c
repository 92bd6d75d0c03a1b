// SPDX-License-Identifier: GPL-2.0-only
/* sk_net_refcnt_upgrade(): Linux 6.14 */
#include <net/sock.h>

static __maybe_unused void probe(struct sock *sk)
{
	sk_net_refcnt_upgrade(sk);
}
