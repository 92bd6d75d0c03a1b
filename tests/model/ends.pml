/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends give their rings back at about the same time: records_close(), records_closed() and records_final(), and
 * what kmod/tcp_ivpci_ring.c and tcp_ivpci_send.c make of them: tcp_ivpci_give_back_pair(), tcp_ivpci_take_rings(),
 * tcp_ivpci_write_one(), tcp_ivpci_was_taken(), `hurry`. Each end sends, reads and gives back, in threads of their own.
 * An end sends by the ring as long as it has one. So a record's number is its byte's, and TCP's bytes come
 * after all of them.
 *
 * Without a macro nobody stands still. STANDS_STILL: the second end's guest stops between the words that close its
 * ring, perhaps until all else has come to rest, and the driver of the first one goes. The wait of a second that
 * records_patience() allows is one for ever here.
 *
 * Shown: each byte is read from the ring or sent by TCP, once; what an honest end says is never called a lie; nobody
 * writes to a ring that is given back; senders and givers come to an end. With STANDS_STILL those of the first end do, and
 * what is not known of its last record is a reset, never a byte twice. With any other macro a step is left
 * out and the model finds an error:
 *
 * NO_PUBLISH_BARRIER, NO_CLOSER_BARRIER: the barrier of records_publish(), of records_close(). VALID_FIRST:
 * `final_valid` is written before `final`. CLOSES_UNLOCKED: an end closes its ring before it has `writing`: each sender
 * waits for the other end's giver, and each giver for its own sender. NO_WRITING: it does not take `writing` at all.
 * NOT_WAITED_FOR: who sees `closed` does not wait for `final_valid`. NO_REPEAT, ALWAYS_REPEATED: the last record is
 * never repeated by TCP, is repeated though it was read. BEYOND_FINAL: a reader reads on after `final`.
 * NOT_KEPT: what is unread is not kept. NO_HURRY: the sender does not look at `hurry`. HURRY_UNDER_LOCK: who is in a
 * hurry says so when he has the mutexes. UNKNOWN_REPEATED: what is not known is taken for not read.
 */
#include "tso.inc"

#define BYTES 2				/* of each end */
#define FIRST_SENDER 2			/* processes, counted from 0: two of each kind */
#define FIRST_READER 4
#define FIRST_GIVER 6
#define OTHER (1 - me)

mtype = { PRODUCED, CLOSED, FINAL, VALID };

/* The ring that each end reads, as both see it. The other end writes `produced`, it the rest. */
byte produced[2], final[2];
bool rx_closed[2], final_valid[2];

/* each end's socket */
bool looking[2], writing[2];		/* the mutexes */
bool hurry[2];
bool has_ring[2] = true, by_ring[2] = true;
byte my_produced[2];			/* of the writer, */
byte pos[2], my_final[2];		/* of the reader */
bool closed_here[2];
bool still, goes_on;			/* the second end's guest: just now; when all else has come to rest */
bool reset;

byte got[2 * BYTES];			/* how often each end got each byte */
bool sender_done[2], giver_done[2];

/* A store that a barrier follows at once is one step. What is not: */
chan stores_0 = [4] of { mtype, byte };
chan stores_1 = [4] of { mtype, byte };
#define PUT(what, value) if :: me == 0 -> STORE(stores_0, what, value) :: else -> STORE(stores_1, what, value) fi

inline drain(stores, end_)
{
end:
	do
	:: atomic { stores ? PRODUCED, value -> produced[1 - end_] = value; value = 0 }
	:: atomic { stores ? CLOSED, value -> rx_closed[end_] = value; value = 0 }
	:: atomic { stores ? FINAL, value -> final[end_] = value; value = 0 }
	:: atomic { stores ? VALID, value -> final_valid[end_] = value; value = 0 }
	od
}

active proctype drain_0() { byte value; drain(stores_0, 0) }
active proctype drain_1() { byte value; drain(stores_1, 1) }

inline lock(mutex) { atomic { !mutex -> mutex = true } }

/* `at` has got byte `number`, from the ring or by TCP. */
inline deliver(at, number)
{
	got[BYTES * (at) + (number)]++;
	assert(got[BYTES * (at) + (number)] == 1)
}

/* tcp_ivpci_was_taken(), under `writing`. What the last record has not become is sent by TCP. */
inline was_taken()
{
#ifndef NOT_WAITED_FOR
	do
	:: final_valid[OTHER] -> break
#ifndef NO_HURRY
	/* it was looked at for long before that */
	:: still && hurry[me] && !final_valid[OTHER] -> unknown = true; break
#endif
	od;
#endif
	by_ring[me] = false;
	atomic {
		if
#ifndef UNKNOWN_REPEATED
		:: unknown -> reset = true
#endif
#ifdef ALWAYS_REPEATED
		:: !unknown && final[OTHER] == my_produced[me] -> deliver(OTHER, sent)
#else
		:: !unknown && final[OTHER] == my_produced[me]
#endif
		:: else ->
			assert(unknown || final[OTHER] + 1 == my_produced[me]);
#ifndef NO_REPEAT
			deliver(OTHER, sent)
#endif
		fi;
		unknown = false
	}
}

/* tcp_ivpci_write_one(), else TCP */
active [2] proctype sender()
{
	byte sent;
	bool unknown;
	byte me = _pid - FIRST_SENDER;

	do
	:: sent == BYTES -> break
	:: else ->
		lock(writing[me]);
		if
		:: has_ring[me] && by_ring[me] ->
			atomic {
				assert(has_ring[me]);
				my_produced[me]++;
#ifdef NO_PUBLISH_BARRIER
				PUT(PRODUCED, my_produced[me])
#else
				produced[OTHER] = my_produced[me]
#endif
			};
			if
			:: rx_closed[OTHER] -> was_taken()
			:: else
			fi
		:: else -> atomic { deliver(OTHER, sent) }
		fi;
		atomic { sent++; writing[me] = false }
	od;
	sender_done[me] = true
}

#ifdef BEYOND_FINAL
#define LAST produced[me]
#else
#define LAST my_final[me]
#endif

/* From the ring, or from what was kept of it. */
active [2] proctype reader()
{
	byte me = _pid - FIRST_READER;
end:
	do
	:: atomic {
		!looking[me] && pos[me] < (closed_here[me] -> LAST : produced[me]) ->
		deliver(me, pos[me]);
		pos[me]++
	}
	od
}

inline take_writing()
{
#ifndef NO_WRITING
	lock(writing[me]);
#endif
	hurry[me] = false
}

/* records_close() */
inline close_reader()
{
#ifdef NO_CLOSER_BARRIER
	atomic { PUT(CLOSED, 1) };
#else
	rx_closed[me] = true;
#endif
#ifdef CLOSES_UNLOCKED
	take_writing();
#endif
#ifdef STANDS_STILL
	if
	:: me == 1 ->
		still = true;
		if
		:: true
		:: true -> goes_on
		fi;
		still = false
	:: else
	fi;
#endif
	my_final[me] = produced[me];
#ifdef VALID_FIRST
	atomic { PUT(VALID, 1) };
	atomic { PUT(FINAL, my_final[me]) }
#else
	atomic { PUT(FINAL, my_final[me]) };
	atomic { PUT(VALID, 1) }
#endif
}

/* tcp_ivpci_give_back_pair(), tcp_ivpci_take_rings() */
active [2] proctype giver()
{
	byte me = _pid - FIRST_GIVER;

#ifdef STANDS_STILL
#ifndef HURRY_UNDER_LOCK
	hurry[me] = (me == 0);
#endif
#endif
	lock(looking[me]);
#ifndef CLOSES_UNLOCKED
	take_writing();
#endif
	close_reader();
	/* it is checked, whoever has heard of it */
	atomic {
		assert(!final_valid[OTHER] || final[OTHER] == my_produced[me] ||
		       final[OTHER] + 1 == my_produced[me]);
		closed_here[me] = true;
#ifdef NOT_KEPT
		pos[me] = my_final[me]
#endif
	};
	has_ring[me] = false;
	by_ring[me] = false;
	atomic { writing[me] = false; looking[me] = false; giver_done[me] = true }
}

#define BOTH_DONE(end) (sender_done[end] && giver_done[end])

/* `timeout`: nothing else can move. */
active proctype rest()
{
	timeout ->
	assert(BOTH_DONE(0) && (BOTH_DONE(1) || still));
	goes_on = true;
	timeout ->
	assert(BOTH_DONE(1));
	assert(reset || (got[0] && got[1] && got[2] && got[3]))
}
