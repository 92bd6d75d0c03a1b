/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims on DMBs, as kmod/ivpci_dmb.c and ivpci_attach.c have them: the owner gives a DMB's
 * memory to somebody else while a writer that was told its token before may be on its way.
 *
 * Shown: nothing is written into memory that was given away. With NO_OWNER_BARRIER or
 * NO_WRITER_BARRIER the model finds the write that the two full barriers prevent.
 */
#include "tso.inc"

mtype = { DESCRIPTOR, CLAIM };

bool descriptor = true;
bool claim;
bool given_away;

chan from_owner = [4] of { mtype, bool };
chan from_writer = [4] of { mtype, bool };

active proctype owner_drain()
{
	bool value;
end:
	do
	:: atomic { from_owner ? DESCRIPTOR, value -> descriptor = value }
	od
}

active proctype writer_drain()
{
	bool value;
end:
	do
	:: atomic { from_writer ? CLAIM, value -> claim = value }
	od
}

active proctype owner()
{
	STORE(from_owner, DESCRIPTOR, false);
#ifndef NO_OWNER_BARRIER
	FENCE(from_owner);
#endif
	/* parked until the claim is gone */
	!claim -> given_away = true
}

active proctype writer()
{
	byte tries;

	do
	:: tries == 2 -> break
	:: else ->
		tries++;
		STORE(from_writer, CLAIM, true);
#ifndef NO_WRITER_BARRIER
		FENCE(from_writer);
#endif
		if
		:: descriptor -> assert(!given_away); assert(!given_away)
		:: else
		fi;
		STORE(from_writer, CLAIM, false)
	od
}
