/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a TCP connection that is moved onto a record ring and back, docs/DIRECT.md: two
 * senders, a reader, one that has been on its way into TCP since before, a ring in the receiver's
 * memory, and the receiver's end of it that goes: by close() or with its driver.
 *
 * Bytes are numbered in the order in which senders had the socket's lock. A record carries one, and
 * TCP's sequence number of that moment; each send takes the way it likes, which is all that moves and
 * give-backs are.
 *
 * Shown: (1) every byte is read once and in that order; (3) the end comes after all bytes; (4) a record is
 * at or before `final`, or repeated by TCP, not both; what was unread at close() makes a reset; (5) nobody
 * reads the ring after its driver has gone; (6) when everything has come to rest the reader has read all,
 * and no sender waits for room. (2) is clean.pml's. STAYS: the ring stays; CLOSES: the reader's socket is
 * closed; UNLOADS: its driver goes. With any other macro a step is left out and the model finds an error.
 */
#include "tso.inc"

/* bytes of all, and of each sender: few, or the search takes hours */
#define BYTES 3
#define BYTES_OF(sender) (2 - (sender))
#define SLOTS 2
#define FIRST_SENDER 3 /* process, counted from 0 */
#define FIN 15

/* a record in the store buffer */
#define PACK(byte_, seq) ((byte_) + 16 * (seq))

mtype = { RECORD, TCP, WANT, CONSUMED, CLOSED, FINAL };

/* the receiver's memory, as everybody sees it */
byte ring[SLOTS];
byte produced, want;			/* the sender writes, */
byte consumed, rx_closed, final;	/* the receiver */
bool final_valid;

/* TCP: what has left, and how far it has arrived; a FIN counts one */
byte stream[BYTES + 1];
byte left, rcv_nxt;

/* the sender's socket */
bool locked, opened, dead;
byte sent, write_seq, my_produced, finished;
byte waiting;				/* for room: how many, */
bool room[2];				/* and whether they were told that there is some */

/* the receiver's socket */
bool reading;				/* the reader's mutex */
byte copied_seq, pos, delivered, my_final;
bool stopped, over, gone, ended;	/* at my_final; closed; without a driver; recv() said 0 */
bool woken;				/* by TCP or by a doorbell */
bool old_inside = true;			/* came by TCP's own way, and may still be there */
byte pages[SLOTS];			/* what was unread when the driver went */

chan from_sender = [3] of { mtype, byte };
chan from_receiver = [3] of { mtype, byte };

active proctype sender_drain()
{
	byte value;
end:
	do
	:: atomic { from_sender ? RECORD, value -> ring[produced % SLOTS] = value; produced++ }
	/* a segment leaves by a store as well: whoever finds it finds the records before it */
	:: atomic { from_sender ? TCP, value -> stream[left] = value; left++ }
	:: atomic { from_sender ? WANT, value -> want = value }
	od
}

active proctype receiver_drain()
{
	byte value;
end:
	do
	:: atomic { from_receiver ? CONSUMED, value -> consumed = value }
	:: atomic { from_receiver ? CLOSED, value -> rx_closed = value }
	:: atomic { from_receiver ? FINAL, value -> final = value; final_valid = true }
	od
}

active proctype network()
{
end:
	do
	:: atomic { rcv_nxt < left -> rcv_nxt++; woken = true }
	od
}

inline send_by_tcp(what)
{
	STORE(from_sender, TCP, what);
	write_seq++
}

/* There is room, seen under the lock. */
inline send_by_ring()
{
	before = my_produced;
	STORE(from_sender, RECORD, PACK(sent, write_seq));
	my_produced++;
#ifndef NO_SENDER_BARRIER
	FENCE(from_sender);
#endif
	if
	:: rx_closed ->
		dead = true;
		final_valid;
		if
#ifndef NO_REPEAT
		:: final < my_produced -> send_by_tcp(sent)
#endif
		:: else
		fi
	:: else
	fi;
	if
	:: consumed == before -> woken = true /* it had caught up: doorbell */
	:: else
	fi
}

/* Without the lock, as all who sleep. */
inline wait_for_room()
{
	waiting++;
	room[me] = false;
	STORE(from_sender, WANT, waiting);
#ifndef NO_WANT_BARRIER
	FENCE(from_sender);
#endif
	if
	:: my_produced - consumed < SLOTS || rx_closed
	:: else -> locked = false; room[me]; atomic { !locked -> locked = true }
	fi;
	waiting--;
	STORE(from_sender, WANT, waiting)
}

active [2] proctype sender()
{
	byte i, before;
	byte me = _pid - FIRST_SENDER;

	do
	:: i == BYTES_OF(me) -> break
	:: else ->
		atomic { !locked -> locked = true };
		do
		:: opened && !dead && my_produced - consumed < SLOTS ->
			sent++;
			send_by_ring();
			break
		:: opened && !dead && my_produced - consumed >= SLOTS ->
			wait_for_room()
		:: true ->
			sent++;
			send_by_tcp(sent);
			break
		od;
		i++;
		locked = false
	od;
	atomic { !locked -> locked = true };
	finished++;
	if
	:: finished == 2 -> send_by_tcp(FIN)
	:: true /* it stays open: nothing more comes that could wake somebody */
	fi;
	locked = false
}

inline deliver(what)
{
	assert(what == delivered + 1);
	delivered++
}

inline take_tcp(limit)
{
	do
	:: copied_seq < limit && !ended ->
		if
		:: stream[copied_seq] == FIN -> assert(delivered == BYTES); ended = true
		:: else -> deliver(stream[copied_seq])
		fi;
		copied_seq++
	:: else -> break
	od
}

/* Record `pos`: in the ring, or in what was kept of it. */
inline look_at_head()
{
	if
	:: stopped && gone -> head = pages[pos % SLOTS]
	:: else -> assert(!gone); head = ring[pos % SLOTS]
	fi
}

inline say_consumed()
{
	if
	:: stopped
	:: else ->
		STORE(from_receiver, CONSUMED, pos);
#ifndef NO_READER_BARRIER
		FENCE(from_receiver);
#endif
		if
#ifndef ROOM_UNTOLD
		:: want -> d_step { room[0] = true; room[1] = true }
#endif
		:: else
		fi
	fi
}

active proctype reader()
{
	byte snapshot, top, head;
end:
	do
	:: ended || over -> break
	:: woken && !ended ->
		/* reads until nothing is left */
		woken = false;
		do
		:: atomic { !reading -> reading = true };
			if
			:: over -> reading = false; break
			:: else
			fi;
#ifndef RING_FIRST
			snapshot = rcv_nxt;
#endif
			if
#ifndef BEYOND_FINAL
			:: stopped -> top = my_final
#endif
			:: else -> top = produced
			fi;
#ifdef RING_FIRST
			snapshot = rcv_nxt;
#endif
#ifdef END_FIRST
			if
			:: snapshot && stream[snapshot - 1] == FIN && copied_seq == snapshot - 1 ->
				take_tcp(snapshot)
			:: else
			fi;
#endif
			head = 0;
			if
			:: pos != top -> look_at_head()
			:: else
			fi;
			if
#ifdef SEQUENCE_IGNORED
			:: pos != top ->
#else
			:: pos != top && head / 16 <= copied_seq ->
#endif
				deliver(head % 16);
				pos++;
				say_consumed();
				reading = false
			:: else ->
				if
#ifndef TCP_UNLIMITED
				:: pos != top && head / 16 < snapshot -> snapshot = head / 16
#endif
				:: else
				fi;
				if
				:: copied_seq < snapshot -> take_tcp(snapshot); reading = false
				:: else -> reading = false; break
				fi
			fi
		od
	od
}

/* Is in recv() of TCP's own, which knows nothing of rings; sleeps for as long as it likes. */
active proctype dawdler()
{
	if
	:: true
	:: atomic { !reading -> reading = true };
		take_tcp(rcv_nxt);
		reading = false
	fi;
	old_inside = false
}

/* The ring is opened when nobody else reads. */
active proctype attach()
{
#ifndef NO_CLEAN
	!old_inside;
#endif
	opened = true
}

#ifndef STAYS
/* close() of the reader's socket with CLOSES, else the driver goes. */
active proctype goes()
{
	bool unread;
end:
	atomic { opened && !reading && !ended -> reading = true };
#ifdef UNREAD_TOO_EARLY
	unread = (pos != produced);
#endif
	STORE(from_receiver, CLOSED, 1);
#ifndef NO_CLOSER_BARRIER
	FENCE(from_receiver);
#endif
	my_final = produced;
#ifdef CLOSES
#ifndef UNREAD_TOO_EARLY
	unread = (pos != my_final);
#endif
	/* what is acknowledged as taken was read, or a reset says that it was not */
	assert(pos == my_final || unread);
	over = true;
#else
#ifndef NOT_KEPT
	d_step { pages[0] = ring[0]; pages[1] = ring[1] };
#endif
#endif
	stopped = true;
	STORE(from_receiver, FINAL, my_final);
	FENCE(from_receiver);
	gone = true;
	reading = false;
	woken = true;
	d_step { room[0] = true; room[1] = true }
}
#endif

/* `timeout`: nothing else can move. */
active proctype rest()
{
	timeout -> assert(finished == 2 && (over || delivered == BYTES))
}
