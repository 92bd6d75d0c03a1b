// SPDX-License-Identifier: GPL-2.0-only
/* struct proto's recvmsg() is told where to put the length of a name: until Linux 7.1 */
#include <net/sock.h>

static __maybe_unused int probe(struct sock *sk, struct msghdr *msg)
{
	return sk->sk_prot->recvmsg(sk, msg, 0, 0, NULL);
}
