/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one round of tcp_ivpci_clean.c finds out, from one grace period of tasks RCU. Pure:
 * tests/unit/kmod_clean.cc runs it with threads in all the orders that there are.
 */
#ifndef TCP_IVPCI_ROUND_H
#define TCP_IVPCI_ROUND_H

/* release_sock(), before it wakes who waits for the lock. @ours: by a thread that came through us;
 * @strangers_wait: one waits that did not. Once it is woken it is in no queue, and may not run for long.
 */
static inline bool tcp_ivpci_round_foreign(bool ours, bool strangers_wait)
{
	return !ours || strangers_wait;
}

/* At its end, under the slock. @owned: somebody has the lock; @foreign: the above was so once. */
static inline bool tcp_ivpci_round_clean(bool owned, bool foreign)
{
	return !owned && !foreign;
}

#endif
