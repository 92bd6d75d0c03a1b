// SPDX-License-Identifier: GPL-2.0-only
/*
 * SO_RCVLOWAT: how many bytes a program wants to hear of at once. TCP alone wakes, and does not count a ring's
 * bytes. So a connection whose program has set it has no rings. Bytes of a ring that were unread at that moment
 * count all the same: as long as they are, the socket's number is so many lower, and TCP wakes when it has the rest.
 *
 * sk->sk_rcvlowat is the program's number, or ours if it is ts->lowered; then ts->lowat is the program's. A program
 * may set its own at any time, under the socket's lock or by BPF without `looking`, so ours goes in by cmpxchg().
 */
#include <linux/bpf.h>

#include <net/inet_common.h>

#include "compat/net.h"
#include "tcp_ivpci.h"

bool tcp_ivpci_lower(struct tcp_ivpci_sock *ts)
{
	struct sock *sk = ts->sk;
	int is = READ_ONCE(sk->sk_rcvlowat);
	int kept, wanted;

	if (is <= 1 && !ts->lowered)
		return false;
	kept = tcp_ivpci_kept(ts);
	if (is != ts->lowered)
		WRITE_ONCE(ts->lowat, is);
	wanted = max(ts->lowat - kept, 1);
	WRITE_ONCE(ts->lowered, kept ? wanted : 0);
	cmpxchg(&sk->sk_rcvlowat, is, wanted);
	return kept;
}

int tcp_ivpci_lowat(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	int lowat = READ_ONCE(sk->sk_rcvlowat);

	if (!ts)
		return lowat;
	if (unlikely(lowat == READ_ONCE(ts->lowered)))
		lowat = READ_ONCE(ts->lowat);
	tcp_ivpci_put(ts);
	return lowat;
}

/* With the socket's lock; or by BPF, which may not sleep. Who makes rings after it was set sees it. */
int tcp_ivpci_set_rcvlowat(struct sock *sk, int val)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	int rc;

	if (ts) /* the number that is set may be that one: it is the program's all the same */
		WRITE_ONCE(ts->lowered, 0);
	rc = inet_stream_ops.set_rcvlowat(sk, val);
	if (!ts)
		return rc;
	if (READ_ONCE(sk->sk_rcvlowat) > 1) {
		if (has_current_bpf_ctx() || in_softirq())
			tcp_ivpci_give_back_soon(ts);
		else
			tcp_ivpci_give_back(ts);
	}
	tcp_ivpci_put(ts);
	return rc;
}
