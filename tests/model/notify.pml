/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The notification protocol of include/ivpci/shm_abi.h, as kmod/ivpci_ring.h and ivpci_irq.c
 * have it: one producer, one receiver, one DMB whose content is `written`.
 *
 * Shown: when everything has come to rest, the receiver has seen the last thing written. It may
 * have been told by a ring entry, by the overflow count, by a doorbell, or because it was still
 * looking. With NO_PRODUCER_BARRIER or NO_RECEIVER_BARRIER the model finds the lost wakeup that
 * the two full barriers prevent.
 */
#include "tso.inc"

#define SENDS 4
#define RING 2

mtype = { WRITTEN, HEAD, OVERFLOW, TAIL, LOOKING };

/* memory, as the other guest sees it */
byte written, head, overflow, tail, looking;
bool interrupt;		/* pending at the receiver: doorbells coalesce */
byte seen;		/* what the receiver found in the DMB last */

chan from_producer = [8] of { mtype, byte };
chan from_receiver = [8] of { mtype, byte };

active proctype producer_drain()
{
	byte value;
end:
	do
	:: atomic { from_producer ? WRITTEN, value -> written = value }
	:: atomic { from_producer ? HEAD, value -> head = value }
	:: atomic { from_producer ? OVERFLOW, value -> overflow = value }
	od
}

active proctype receiver_drain()
{
	byte value;
end:
	do
	:: atomic { from_receiver ? TAIL, value -> tail = value }
	:: atomic { from_receiver ? LOOKING, value -> looking = value }
	od
}

active proctype producer()
{
	byte my_head, my_overflow, sent;

	do
	:: sent == SENDS -> break
	:: else ->
		sent++;
		STORE(from_producer, WRITTEN, sent);
		if
		:: my_head - tail >= RING ->
			my_overflow++;
			STORE(from_producer, OVERFLOW, my_overflow)
		:: else ->
			my_head++;
			STORE(from_producer, HEAD, my_head)
		fi;
#ifndef NO_PRODUCER_BARRIER
		FENCE(from_producer);
#endif
		if
		:: looking -> skip
		:: else -> interrupt = true
		fi
	od
}

/* One look: entries, tail moved, then everything if the ring overflowed. */
inline drain()
{
	atomic { to = head; }
	over = overflow;
	any = (to != my_tail || over != overflow_seen);
	if
	:: to != my_tail -> seen = written
	:: else
	fi;
	if
	:: any ->
		my_tail = to;
		STORE(from_receiver, TAIL, my_tail)
	:: else
	fi;
	if
	:: over != overflow_seen -> overflow_seen = over; seen = written
	:: else
	fi
}

active proctype receiver()
{
	byte my_tail, overflow_seen, to, over;
	bool any, again;
end:
	do
	:: interrupt || again ->
		interrupt = false;
		again = false;
		STORE(from_receiver, LOOKING, 1);
		/* looks as often as it likes: adaptive polling */
		do
		:: drain()
		:: break
		od;
		STORE(from_receiver, LOOKING, 0);
#ifndef NO_RECEIVER_BARRIER
		FENCE(from_receiver);
#endif
		drain();
		again = any
	od
}

/* `timeout`: nothing else can move. */
active proctype rest()
{
	timeout -> assert(seen == SENDS)
}
