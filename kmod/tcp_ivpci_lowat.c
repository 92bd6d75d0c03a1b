// SPDX-License-Identifier: GPL-2.0-only
/*
 * SO_RCVLOWAT: how many bytes a program wants to hear of at once. TCP alone wakes, and does not count a ring's
 * bytes. So a connection whose program has set it has no rings. Bytes of a ring that were unread at that moment
 * count all the same: as long as they are, the socket's number is so many lower, and TCP wakes when it has the rest.
 *
 * sk->sk_rcvlowat is the program's number, or ours as long as ts->lowered is one; then ts->lowat is the program's.
 * ts->number is taken to change them: a program sets its number with the socket's lock, or by BPF in a softirq; we set
 * ours under `looking`.
 */
#include <linux/bpf.h>

#include <net/inet_common.h>

#include "compat/net.h"
#include "tcp_ivpci.h"

bool tcp_ivpci_lower(struct tcp_ivpci_sock *ts)
{
	struct sock *sk = ts->sk;
	int kept, wanted;

	/* who sets another one comes here after it */
	if (READ_ONCE(sk->sk_rcvlowat) <= 1 && !READ_ONCE(ts->lowered))
		return false;
	kept = tcp_ivpci_kept(ts);
	spin_lock_bh(&ts->number);
	/* else it may be TCP's own by now; with one of these it is not */
	if (kept || ts->lowered) {
		if (!ts->lowered)
			ts->lowat = sk->sk_rcvlowat;
		wanted = max(ts->lowat - kept, 1);
		WRITE_ONCE(ts->lowered, kept ? wanted : 0);
		WRITE_ONCE(sk->sk_rcvlowat, wanted);
	}
	spin_unlock_bh(&ts->number);
	return kept;
}

int tcp_ivpci_lowat(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	int lowat = READ_ONCE(sk->sk_rcvlowat);

	if (!ts)
		return lowat;
	if (unlikely(lowat > 1 || READ_ONCE(ts->lowered))) {
		spin_lock_bh(&ts->number);
		lowat = ts->lowered ? ts->lowat : sk->sk_rcvlowat;
		spin_unlock_bh(&ts->number);
	}
	tcp_ivpci_put(ts);
	return lowat;
}

/* With the socket's lock; or by BPF, which may not sleep. Who makes rings after it was set sees it. */
int tcp_ivpci_set_rcvlowat(struct sock *sk, int val)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	int lowered, rc;

	if (!ts)
		return inet_stream_ops.set_rcvlowat(sk, val);
	spin_lock_bh(&ts->number);
	lowered = ts->lowered;
	WRITE_ONCE(ts->lowered, 0);
	rc = inet_stream_ops.set_rcvlowat(sk, val);
	spin_unlock_bh(&ts->number);
	if (val > 1 || val < 0) {
		if (has_current_bpf_ctx() || in_softirq())
			tcp_ivpci_give_back_soon(ts);
		else
			tcp_ivpci_give_back(ts);
	} else if (lowered || records_unread(&ts->reader)) {
		sk->sk_data_ready(sk); /* some are kept, which TCP does not know */
	}
	tcp_ivpci_put(ts);
	return rc;
}
