// SPDX-License-Identifier: GPL-2.0-only
/*
 * Peers of another era: they and we are members of brokers that do not have each other's
 * connections, so nobody has the other's doorbells. While there is such a peer we look at
 * the rings at short intervals, as it does. It tells us nothing that is not in the rings:
 * nobody waits for an answer longer than one interval.
 */
#include "compat/compat.h"
#include "ivpci.h"

#define IVPCI_LOOK_NS (500 * NSEC_PER_USEC)

bool ivpci_era_differs(struct ivpci *ivpci, u32 slot)
{
	struct ivpci_slot *slots = ivpci_header(ivpci)->slot;

	return READ_ONCE(slots[slot].era) != READ_ONCE(slots[ivpci->slot].era);
}

static enum hrtimer_restart ivpci_era_look(struct hrtimer *timer)
{
	struct ivpci *ivpci = container_of(timer, struct ivpci, look_timer);

	if (!READ_ONCE(ivpci->nr_unreachable))
		return HRTIMER_NORESTART;
	ivpci_look(ivpci);
	hrtimer_forward_now(timer, ns_to_ktime(IVPCI_LOOK_NS));
	return HRTIMER_RESTART;
}

/* After peers may have come or gone. A peer can use a DMB of ours only after we gave it one, so
 * after this. An era stays for as long as a generation does, but what we read when it came may have been a lie.
 */
void ivpci_era_sync(struct ivpci *ivpci)
{
	struct ivpci_peer *peer;
	u32 slot, n = 0;
	bool first;

	lockdep_assert_held(&ivpci->peer_lock);

	for (slot = 1; slot <= ivpci->layout.slots; slot++) {
		peer = &ivpci->peers[slot];
		if (!peer->generation)
			continue;
		WRITE_ONCE(peer->unreachable, ivpci_era_differs(ivpci, slot));
		n += peer->unreachable;
	}
	first = n && !ivpci->nr_unreachable;
	/* before the timer is started, which may just be deciding to stop */
	WRITE_ONCE(ivpci->nr_unreachable, n);
	if (!first)
		return;
	ivpci_member_log(dev_info, ivpci,
			 "peers of another broker's time: looking instead of being rung\n");
	hrtimer_cancel(&ivpci->look_timer); /* it may be about to set itself again */
	hrtimer_start(&ivpci->look_timer, ns_to_ktime(IVPCI_LOOK_NS), HRTIMER_MODE_REL);
}

void ivpci_era_init(struct ivpci *ivpci)
{
	hrtimer_setup(&ivpci->look_timer, ivpci_era_look, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
}

/* Nobody syncs any more. */
void ivpci_era_exit(struct ivpci *ivpci)
{
	hrtimer_cancel(&ivpci->look_timer);
}
