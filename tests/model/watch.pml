/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for records, and who tells him: records_watch() and records_signal(), `heard` in
 * tcp_ivpci_signalled(), tcp_ivpci_hear_of_more(). A writer, a thread that waits, another one that does
 * not, and doorbells: several are one, and one may be of room only.
 *
 * SLEEPS: who waits sleeps in recv(), perhaps since before there were rings. POLLS: in poll(). EDGES: epoll
 * tells it of edges, and it reads until a read is short or finds nothing.
 *
 * Shown: when everything has come to rest all records are read, and the writer has rung once at most for each
 * time that it was asked. With any other macro a step is left out and the model finds an error.
 */
#include "tso.inc"

#ifdef EDGES
#define RECORDS 2			/* or the search takes a minute */
#else
#define RECORDS 3
#endif
#define NEVER 255

mtype = { PRODUCED, WATCH };

#ifdef NO_FIRST_WATCH
#define FIRST 0
#else
#define FIRST 1				/* asked for when the rings were made: somebody may be asleep */
#endif

/* the receiver's memory, as everybody sees it */
byte produced, watch = FIRST;
bool doorbell;				/* on its way, or not served yet */

/* the receiver's socket */
bool reading, looking;			/* the mutexes */
bool asks;				/* under the second */
byte pos, top, watching = FIRST, heard;
#ifdef EDGES
bool woken = true;			/* who waits: it looks once when it is told of the socket */
#else
bool woken;				/* who waits: was woken, */
#endif
bool queued = true;	/* and is in the socket's queue, perhaps since before there were rings */

chan from_writer = [4] of { mtype, byte };
chan from_reader = [4] of { mtype, byte };

active proctype writer_drain()
{
	byte value;
end:
	do
	:: atomic { from_writer ? PRODUCED, value -> produced = value }
	od
}

active proctype reader_drain()
{
	byte value;
end:
	do
	:: atomic { from_reader ? WATCH, value -> watch = value }
	od
}

active proctype writer()
{
	byte sent, watched, asked, rung;

	do
	:: sent == RECORDS -> break
	:: else ->
		sent++;
		STORE(from_writer, PRODUCED, sent);
#ifndef NO_PUBLISH_BARRIER
		FENCE(from_writer);
#endif
		asked = watch;
		if
		:: asked != watched ->
#ifndef ANSWER_FORGOTTEN
			watched = asked;
#endif
			rung++;
			assert(rung <= asked);
			doorbell = true
		:: else
		fi
	od
}

#ifdef POLLS
/* Of room only. */
active proctype room()
{
	doorbell = true
}
#endif

inline data_ready()
{
	atomic {
		if
		:: queued -> woken = true
		:: else
		fi
	}
}

active proctype softirq()
{
	byte now;
end:
	do
	:: atomic { doorbell -> doorbell = false };
		now = produced;
		if
		:: now != heard ->
#ifdef HEARD_LATER
			data_ready();
			heard = produced
#else
			heard = now;
			data_ready()
#endif
		:: else
		fi
	od
}

/*
 * Under the mutex. What comes from here on is signalled; what has come is seen. The answer may be to a record that
 * was heard of and read before this: its writer has only now come to look at `watch`. No other answer follows, so
 * who asks is told all the same, and asks anew.
 */
inline ask_for_more()
{
	asks = true;
#ifndef ASKED_UNTOLD
	heard = NEVER;
#endif
#ifdef WATCH_STAYS
	watching = 1;
#else
	watching++;
#endif
	STORE(from_reader, WATCH, watching);
#ifndef NO_WATCH_BARRIER
	FENCE(from_reader);
#endif
#ifndef NO_LOOK_AFTER_WATCH
	top = produced
#endif
}

/*
 * One attempt that does not wait, with the mutex that readers take turns by: all that is there, or nothing. Who is
 * in the queue is told of more.
 */
inline attempt()
{
	atomic { !reading -> reading = true };
	atomic { !looking -> top = produced; got = (pos != top); pos = top };
	if
	:: queued -> hear_of_more()
	:: else
	fi;
	reading = false
}

inline hear_of_more()
{
	atomic { !looking -> looking = true };
	if
	:: pos == top -> ask_for_more()
	:: else
	fi;
	/* somebody may have looked since an attempt that found nothing: it is unread, and was told to nobody */
#ifdef ONLY_WHO_ASKED
	came = (asks && pos != top);
#else
	came = ((asks || !got) && pos != top);
#endif
	asks = false;
	looking = false;
	if
#ifndef CAME_UNTOLD
	:: came -> data_ready()
#endif
	:: else
	fi
}

#ifndef POLLS
/* Another thread: takes what is there, or asks how much there is (FIONREAD, poll() of nothing else). */
active proctype other()
{
	bool got, came;

	if
	:: attempt()
	:: atomic { !looking -> top = produced }
	fi
}
#endif

active proctype waiter()
{
	bool got, came;

#ifdef SLEEPS
end_asleep:
	do
	:: atomic { woken -> woken = false; queued = false };
		do
		:: attempt();
			if
			:: got -> queued = false; woken = false
#ifdef SLEEPS_AT_ONCE
			:: !got -> queued = true; break
#else
			/* told of what changes from here on: looks once more */
			:: !got && !queued -> queued = true
			:: !got && queued -> break
#endif
			fi
		od
	od
#endif
#ifdef POLLS
	do
	:: queued = true;
		do
		:: atomic { !looking -> looking = true; top = produced };
			if
			:: pos == top -> ask_for_more()
			:: else
			fi;
			atomic { got = (pos != top); looking = false };
			if
			:: got -> break
			:: else
			fi;
end_asleep:
			atomic { woken -> woken = false }
		od;
		queued = false;
		woken = false;
		attempt()
	od
#endif
#ifdef EDGES
end_asleep:
	do
	:: atomic { woken -> woken = false };
		/* epoll asks whether there is something; then the program reads */
		atomic { !looking -> looking = true; top = produced };
		ask_for_more();
		atomic { got = (pos != top); looking = false };
		do
		:: !got -> break
		:: else ->
			attempt();
			/* a short read: it has looked whether there is more */
			if
			:: got && pos == top && pos == produced -> break
			:: true
			fi
		od
	od
#endif
}

/* `timeout`: nothing else can move. */
active proctype rest()
{
	timeout -> assert(pos == RECORDS)
}
