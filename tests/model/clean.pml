/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Nobody is in TCP but through us", kmod/tcp_ivpci_clean.c: who has loaded TCP's own functions before they
 * were replaced can be anywhere between that and its return, for as long as it likes.
 *
 * Threads call as often as they like. A call loads the functions, takes the socket's lock (sleeping in
 * its queue, from which the wake-up removes it, not the woken thread), may sleep there for memory with
 * the lock, may sleep for data without it (its entry stays in the socket's queue until it has the lock
 * again), may give the lock back and take it anew. A grace period of tasks RCU waits until each thread has
 * slept or returned, wherever that was.
 *
 * Shown: once `clean`, nobody has the lock who did not come through us, and nobody ever will. With one of
 * the macros NO_* or WOKEN_UNSEEN the model finds the one that the part left out would have seen.
 * FAULTS_BEFORE_LOCK is what the check does not see: docs/DIRECT.md, "What is not exact".
 */
#define THREADS 3

bool ours, clean, foreign;

bool owned;			/* the socket's lock */
bool queued[THREADS];		/* for it */
bool sleeps[THREADS];		/* for data: has its entry in the socket's wait queue */
bool marked[THREADS];		/* is in a call that came through us */
bool runs[THREADS];		/* in the kernel, neither asleep nor outside */
bool holds_up[THREADS];		/* the grace period */

/* Asleep, or back in the program: all the same to tasks RCU. */
inline quiescent()
{
	runs[me] = false;
	holds_up[me] = false
}

inline take_lock()
{
	do
	:: atomic {
		!owned ->
		owned = true;
		runs[me] = true;
		assert(marked[me] || !clean);
		break
	}
	:: atomic { owned -> queued[me] = true; quiescent() };
		atomic { !queued[me] -> runs[me] = true }
	od
}

/* WOKEN_UNSEEN: its CPU has not heard of it yet, so tasks RCU takes it for asleep. */
inline wake(who)
{
	queued[who] = false;
#ifndef WOKEN_UNSEEN
	runs[who] = true
#endif
}

/* All under the spin lock: release_cb(), then whoever has waited longest is woken, here: anyone. */
inline give_lock()
{
	atomic {
		if
#ifndef NO_RELEASES
		:: !marked[me] -> foreign = true
#endif
#ifndef NO_WAKES
		:: queued[0] && !marked[0] -> foreign = true
		:: queued[1] && !marked[1] -> foreign = true
		:: queued[2] && !marked[2] -> foreign = true
#endif
		:: else
		fi;
		owned = false;
		if
		:: queued[0] -> wake(0)
		:: queued[1] -> wake(1)
		:: queued[2] -> wake(2)
		:: else
		fi
	}
}

active [THREADS] proctype thread()
{
	byte me = _pid;
end:
	do
	:: atomic { true -> runs[me] = true; marked[me] = ours };
#ifdef FAULTS_BEFORE_LOCK
		if
		:: atomic { quiescent() }; runs[me] = true
		:: true
		fi;
#endif
		take_lock();
		do
		:: true -> break
		:: atomic { quiescent() }; runs[me] = true	/* a page fault */
		:: sleeps[me] = true;				/* sk_wait_event() */
			give_lock();
			atomic { quiescent() };
			take_lock();
			sleeps[me] = false
		:: true -> give_lock();				/* tcp_splice_read() */
			take_lock()
		od;
		give_lock();
		atomic { quiescent(); marked[me] = false }
	od
}

active proctype attach()
{
	atomic { !owned -> ours = true };
	do
	:: atomic {
		foreign = false;
		holds_up[0] = runs[0];
		holds_up[1] = runs[1];
		holds_up[2] = runs[2]
	};
#ifndef NO_GRACE
		!holds_up[0] && !holds_up[1] && !holds_up[2];
#endif
		atomic {
			if
			:: foreign
#ifndef NO_OWNER
			:: owned
#endif
#ifndef NO_SLEEPERS
			:: sleeps[0] && !marked[0]
			:: sleeps[1] && !marked[1]
			:: sleeps[2] && !marked[2]
#endif
			:: else -> clean = true; break
			fi
		}
	od
}
