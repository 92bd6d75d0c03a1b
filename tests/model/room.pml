/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for room in a ring, and who tells him: records_want_room() and records_take() with `told`, and what
 * kmod/tcp_ivpci_send.c makes of them: tcp_ivpci_half_free(), tcp_ivpci_ask_room(), tcp_ivpci_look_for_room(),
 * tcp_ivpci_has_room(), tcp_ivpci_no_room(). Two threads send into one ring of two places; there are its reader, and
 * doorbells: several are one. One place is half of the ring.
 *
 * SLEEPS: both threads sleep in send(). EDGES: the second one does not. Epoll tells that thread, and looks by poll()
 * before it does. TIMER: and tcp_ivpci_full_work() runs at some moment. That is for readers that stand still:
 * those that get on must not need it.
 *
 * Shown: when everything has come to rest all is sent and read, and the reader has rung once at most for each
 * time that it was asked. With any other macro a step is left out and the model finds an error:
 *
 * NO_WANT_BARRIER, NO_CONSUMED_BARRIER: the barrier of records_want_room(), of records_take(). NO_LOOK_AFTER_WANT:
 * who has asked does not look again whether half is free. WANT_STAYS: the number that asks is the same one each time.
 * TOLD_FORGOTTEN: the reader answers one number more than once. NOT_ASKED_ANEW: the softirq finds that the ring has
 * filled up again, and does not ask.
 * CLEARED_LATE: it takes `wants_room` back when it has told everybody, as without the barrier between these two.
 * NOBODY_WOKEN, NO_EVENT: it does not tell who sleeps in send(), who waits for an event. SLEEPS_AT_ONCE: who has joined
 * the socket's queue does not try again. NO_LOOK_AFTER_NOSPACE: who has asked for an event does not look again.
 * TIMER_TELLS_NOBODY: the timer takes `wants_room` back and tells nobody.
 */
#include "tso.inc"

#define SLOTS 2				/* of the ring: so many records */
#define HALF 1
#ifdef TIMER
#define RECORDS_OF(thread) (thread)	/* or the search takes minutes */
#define FIRST_THREAD 5			/* process, counted from 0 */
#else
#define RECORDS_OF(thread) 1
#define FIRST_THREAD 4
#endif

mtype = { WANT, CONSUMED };

/* the ring's words, as everybody sees them */
byte produced = SLOTS, want, consumed;	/* it is full when the search begins */
bool doorbell;				/* on its way, or not served yet */

/* the sender's socket */
bool writing;				/* the mutex, with the socket's lock */
byte wanted;				/* how often the reader was asked */
bool wants_room, nospace;
bool queued[2], woken[2];		/* in the socket's queue; with EDGES the second one's is epoll's */

/* the reader */
byte pos, told, rung;

/* A store that a barrier follows at once is one step. What is not: */
chan from_sender = [3] of { mtype, byte };
chan from_reader = [3] of { mtype, byte };

#ifdef NO_WANT_BARRIER
#define STORE_WANT(value) STORE(from_sender, WANT, value)
#else
#define STORE_WANT(value) want = value
#endif
#ifdef NO_CONSUMED_BARRIER
#define STORE_CONSUMED(value) STORE(from_reader, CONSUMED, value)
#else
#define STORE_CONSUMED(value) consumed = value
#endif

active proctype sender_drain()
{
	byte value;
end:
	do
	:: atomic { from_sender ? WANT, value -> want = value; value = 0 }
	od
}

active proctype reader_drain()
{
	byte value;
end:
	do
	:: atomic { from_reader ? CONSUMED, value -> consumed = value; value = 0 }
	od
}

/* records_take(), one record at a time */
active proctype reader()
{
	byte asked;
end:
	do
	:: atomic { pos != produced -> pos++; STORE_CONSUMED(pos) };
		asked = want;
		atomic {
			if
			:: asked && asked != told && produced - pos <= HALF ->
#ifndef TOLD_FORGOTTEN
				told = asked;
#endif
				rung++;
				assert(rung <= wanted);
				doorbell = true
			:: else
			fi;
			asked = 0
		}
	od
}

/* tcp_ivpci_half_free(): at least half is free, now or soon: then somebody signals. */
inline half_free()
{
	free = (produced - consumed <= HALF);
	if
	:: free
	:: else ->
		ask_room();
#ifndef NO_LOOK_AFTER_WANT
		free = (produced - consumed <= HALF)
#endif
	fi
}

inline ask_room()
{
#ifdef WANT_STAYS
	asks = 1;
	wanted = 1;
#else
	atomic { wanted++; asks = wanted };
#endif
	wants_room = true;
	atomic { STORE_WANT(asks); asks = 0 }
}

/* tcp_ivpci_has_room() */
inline has_room()
{
	atomic {
		if
#ifndef NOBODY_WOKEN
		:: queued[0] -> woken[0] = true
#endif
		:: else
		fi;
#ifndef EDGES
		if
		:: queued[1] -> woken[1] = true
		:: else
		fi
#endif
	};
#ifdef EDGES
	if
#ifndef NO_EVENT
	:: nospace -> write_space()
#endif
	:: else
	fi
#endif
}

/* sk_stream_write_space(), which asks tcp_ivpci_memory_free(): if half is not free it is asked for anew */
inline write_space()
{
	half_free();
	if
	:: free -> nospace = false; woken[1] = true
	:: else
	fi
}

/* tcp_ivpci_signalled(), tcp_ivpci_look_for_room() */
active proctype softirq()
{
	byte asks;
	bool free;
end:
	do
	:: atomic { doorbell -> doorbell = false };
		if
		:: wants_room ->
#ifdef NOT_ASKED_ANEW
			free = (produced - consumed <= HALF);
#else
			half_free();
#endif
			if
			:: free ->
#ifdef CLEARED_LATE
				has_room();
				wants_room = false
#else
				wants_room = false;
				has_room()
#endif
			:: else
			fi;
			free = false
		:: else
		fi
	od
}

#ifdef TIMER
/* tcp_ivpci_full_work(), of a reader that has got on since the last time */
active proctype timer()
{
	byte asks;
	bool free = true;

	atomic { !writing -> writing = true };
	if
	:: wants_room && produced - consumed > HALF -> half_free()
	:: else
	fi;
	if
	:: free -> wants_room = false
	:: else
	fi;
	writing = false;
	if
#ifndef TIMER_TELLS_NOBODY
	:: free -> has_room()
#endif
	:: else
	fi
}
#endif

/* tcp_ivpci_write_one(): one attempt */
inline attempt()
{
	atomic { !writing -> writing = true; free = (produced - consumed < SLOTS) };
	if
	:: free
	:: else -> half_free()
	fi;
	atomic {
		if
		:: free -> assert(produced - consumed < SLOTS); produced++; sent++
		:: else
		fi;
		writing = false
	}
}

#ifdef EDGES
/* tcp_ivpci_no_room(), and tcp_poll() does the same */
inline no_room()
{
	nospace = true;
#ifdef NO_LOOK_AFTER_NOSPACE
	free = false
#else
	half_free()
#endif
}
#endif

active [2] proctype thread()
{
	byte sent, asks;
	bool free;
	byte me = _pid - FIRST_THREAD;

	do
	:: sent == RECORDS_OF(me) -> break
	:: else ->
		attempt();
		if
		:: free
#ifdef EDGES
		:: !free && me == 1 ->
			no_room();
			do
			:: free -> break
			:: else ->
				atomic { woken[1] -> woken[1] = false };
				half_free();
				if
				:: free
				:: else -> no_room()
				fi
			od
		:: !free && me == 0 && !queued[0] ->
#else
		:: !free && !queued[me] ->
#endif
			/* is told of what changes from here on: tries once more */
			queued[me] = true;
#ifdef SLEEPS_AT_ONCE
			atomic { woken[me] -> woken[me] = false }
#endif
		:: !free && queued[me] ->
			atomic { woken[me] -> woken[me] = false }
		fi
	od;
	atomic { queued[me] = false; woken[me] = false; free = false }
}

/* `timeout`: nothing else can move. */
active proctype rest()
{
	timeout -> assert(pos == SLOTS + RECORDS_OF(0) + RECORDS_OF(1))
}
