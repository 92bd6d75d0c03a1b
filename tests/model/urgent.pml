/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Urgent bytes (MSG_OOB), which go by TCP past records that nobody has read: tcp_ivpci_look_next(),
 * tcp_ivpci_at_hole(), tcp_ivpci_take_records(), tcp_ivpci_peek(), and the loop of tcp_ivpci_receive(), beside TCP's own
 * tcp_check_urg() and tcp_recvmsg(). A sender, what arrives by TCP in softirq, and one who reads. A byte is numbered by the
 * order in which it was sent, and goes by TCP, by a record, or as an urgent byte. That a record is visible before
 * any later byte of TCP leaves is direct.pml's. Softirq and reader are of one guest, and none of their steps is a
 * store that a load may pass: there are no store buffers.
 *
 * TCP knows of one urgent byte, the mark. Who reads in line goes over it: a hole. When TCP hears of a newer one, what was
 * the mark is a byte as others. But if it is TCP's next byte then, and has come, TCP goes past it by
 * itself, in softirq, while the reader may be looking.
 *
 * Shown: (1) what recv() reads in line is in the order in which it was sent, each byte once, and what is left
 * out is urgent; (2) when everything has come to rest nothing else is unread; (3) a record that TCP has gone past is
 * next, and no lie; (4) a recv() that has bytes does not go over a mark that was there before its last attempt,
 * if no record is before that. With any other macro a step is left out and the model finds an error:
 *
 * HOLE_UNSEEN: TCP is asked for a byte too many, as if there were no hole. LOOKED_ONCE: the reader does not look again
 * whether TCP has gone past the mark meanwhile. HOLE_KEPT: the reader does not go over the hole itself. GONE_OVER_TWICE: it
 * does though TCP has, too. GONE_PAST_IS_A_LIE: (3). MARK_UNSEEN: recv() waits, wakes up, and does not look whether a mark has come.
 *
 * PEEKS: recv(MSG_PEEK) comes before each read. It is known to be wrong. The mark is TCP's next byte, and
 * tcp_ivpci_peek_begin() begins there. A newer one comes, and TCP goes past the mark, after tcp_ivpci_peek_tcp() has counted:
 * one byte of TCP's that lies behind a record is seen without that record. ONE_URGENT: with one urgent byte a peek is right.
 */

#define BYTES 5
#ifdef ONE_URGENT
#define URGENT 1
#else
#define URGENT 2
#endif
#define NONE 255

/* what was sent */
byte sent, urgent;
bool is_urgent[BYTES + 1];		/* by number */
byte stream[BYTES], left;		/* by TCP: numbers, by sequence number */
byte rec[BYTES], rec_seq[BYTES], produced;

/* the receiver's TCP */
bool slock;
byte rcv_nxt, copied_seq;
bool urg_data;
byte urg_seq = NONE;

/* the reader */
bool woken;				/* it looks again */
byte pos, last;				/* the record that is next; number of the byte that was read last */

active proctype sender()
{
	do
	:: sent == BYTES -> break
	:: sent < BYTES -> atomic { sent++; stream[left] = sent; left++ }
	:: sent < BYTES && urgent < URGENT ->
		atomic { sent++; urgent++; is_urgent[sent] = true; stream[left] = sent; left++ }
	:: sent < BYTES -> atomic { sent++; rec[produced] = sent; rec_seq[produced] = left; produced++; woken = true }
	od
}

/* Each byte is a segment. It tells of the newest urgent byte that was sent when it left: itself or a later one. */
active proctype softirq()
{
	byte ptr;
end:
	do
	:: atomic {
		!slock && rcv_nxt < left -> slock = true;
		ptr = rcv_nxt;
		do
		:: ptr < left && is_urgent[stream[ptr]] -> break
		:: ptr < left -> ptr++
		:: ptr == left -> ptr = NONE; break
		:: !is_urgent[stream[rcv_nxt]] -> ptr = NONE; break
		od
	   };
		if
		:: ptr != NONE && !(urg_data && ptr <= urg_seq) ->
			/* tcp_check_urg() */
			if
			:: urg_data && urg_seq == copied_seq && copied_seq != rcv_nxt -> copied_seq++
			:: else
			fi;
			urg_data = true;
			urg_seq = ptr
		:: else
		fi;
		atomic { rcv_nxt++; slock = false; ptr = 0; woken = true }
	od
}

/* In line. What is passed over was urgent. */
inline deliver(after_, number)
{
	assert(number > after_);
	after_++;
	do
	:: after_ < number -> assert(is_urgent[after_]); after_++
	:: else -> break
	od
}

/* tcp_recvmsg() of so many bytes, with the lock. `from`, `after_`: of recv() what was read, of a peek its own */
inline by_tcp(from, after_, peeks)
{
	some = false;
	do
	:: urg_data && urg_seq == from && some -> break
	:: n == 0 || from >= rcv_nxt -> break
	:: else ->
		if
		:: urg_data && urg_seq == from
		:: else -> deliver(after_, stream[from]); some = true; n--
		fi;
		from++;
		if
		:: !peeks && urg_data && from > urg_seq -> urg_data = false
		:: else
		fi
	od
}

/* tcp_ivpci_look_next() */
inline look_next()
{
	do
	:: seq = copied_seq;
		top = rcv_nxt;
#ifdef HOLE_UNSEEN
		hole = false;
#else
		hole = urg_data;
		hole = hole && urg_seq == seq;
#endif
#ifndef LOOKED_ONCE
		if
		:: seq == copied_seq -> break
		:: else
		fi
#else
		break
#endif
	od;
	atomic {
		ring = produced;
		limit = top;
		if
		:: pos != ring && rec_seq[pos] < limit -> limit = rec_seq[pos]
		:: else
		fi;
		n = (limit > seq -> limit - seq : 0);
		record = false;
		if
		:: pos != ring ->
#ifdef GONE_PAST_IS_A_LIE
			assert(rec_seq[pos] >= seq);
#endif
			record = (rec_seq[pos] <= seq)
		:: else
		fi;
		hole = hole && n;
		n = n - hole
	}
}

/* This recv() has bytes. It waits for more of them, or it has returned. */
inline part_of_recv(has)
{
	assert(!(part && mark && has));
	if
	:: has -> part = true
	:: true -> part = false
	fi
}

/* Under ts->reading: nobody else. */
active proctype reader()
{
	byte seq, begun, top, ring, limit, n;
	bool hole, record, some;
	bool part, mark;		/* this recv() has some bytes; there was the mark before this attempt */
#ifdef PEEKS
	byte at, peeked;
#endif
end:
	do
	:: woken ->
		woken = false;
		/* tcp_ivpci_receive(), tcp_ivpci_at_mark() */
		atomic {
			mark = (urg_data && urg_seq == copied_seq &&
				!(pos != produced && rec_seq[pos] <= copied_seq));
#ifndef MARK_UNSEEN
			part = part && !mark
#endif
		};
		look_next();
#ifdef PEEKS
		/* tcp_ivpci_peek_begin() */
		atomic { seq = copied_seq; begun = copied_seq; at = pos; peeked = last };
		/* tcp_ivpci_peek_records() */
		atomic {
			hole = (urg_data && urg_seq == seq);
			do
			:: at < ring && rec_seq[at] <= seq ->
				deliver(peeked, rec[at]);
				at++
			:: at < ring && at == pos && rec_seq[at] > seq && rec_seq[at] <= seq + hole ->
				seq++;
				hole = false
			:: else -> break
			od;
			limit = top;
			if
			:: at < ring && rec_seq[at] < limit -> limit = rec_seq[at]
			:: else
			fi
		};
		/* tcp_ivpci_peek_tcp() */
		top = copied_seq;
		atomic {
			n = (limit > seq -> limit - seq : 0);
			if
			:: n && urg_data && urg_seq == seq -> n--
			:: else
			fi;
			if
			:: at != pos && ((urg_data && urg_seq == seq) || top != begun) -> n = 0
			:: else
			fi
		};
		/* an offset below 0 is none */
		atomic {
			!slock;
			seq = copied_seq + (seq > top -> seq - top : 0);
			by_tcp(seq, peeked, true)
		};
		atomic { at = 0; peeked = 0 };
		look_next();
#endif
#ifndef HOLE_KEPT
		do
		:: hole && !part ->
			/* tcp_ivpci_go_over() */
			atomic {
				!slock;
				if
#ifdef GONE_OVER_TWICE
				:: copied_seq < rcv_nxt ->
#else
				:: copied_seq == seq && urg_data && urg_seq == seq ->
#endif
					copied_seq++;
					urg_data = false
				:: else
				fi
			};
			look_next()
		:: else -> break
		od;
#endif
		/* tcp_ivpci_take_records(), tcp_ivpci_by_tcp(), or there is nothing */
		if
		:: record -> atomic { part_of_recv(true); deliver(last, rec[pos]); pos++; woken = true }
		:: !record && hole ->
#ifndef HOLE_KEPT
			woken = true
#else
			skip
#endif
		:: !record && !hole && n -> atomic { !slock; by_tcp(copied_seq, last, false); part_of_recv(some); woken = true }
		:: else
		fi;
		atomic { seq = 0; begun = 0; top = 0; ring = 0; limit = 0; n = 0; hole = false; record = false; some = false; mark = false }
	od
}

/* `timeout`: nothing else can move. */
active proctype rest()
{
	timeout ->
	assert(pos == produced && rcv_nxt == left);
	do
	:: last < BYTES -> last++; assert(is_urgent[last])
	:: else -> break
	od
}
