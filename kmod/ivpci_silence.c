// SPDX-License-Identifier: GPL-2.0-only
/*
 * Members whose kernel stands still while their QEMU lives: hung, panicked, restarted without
 * a driver, or stopped for long. The broker cannot take their slot, since they may go on and
 * write into memory they have claimed. But their peers need not wait for them: sockets fail
 * after a time, as TCP's would when nothing is acknowledged. Memory stays set aside.
 *
 * Who goes on after that is told by an event that it finds in its ring: it ends its
 * connections with those that gave it up, and both may begin anew.
 */
#include "ivpci.h"

/* Longer steps are our own standing still, in which the others' hearts may have stopped too. */
#define IVPCI_WATCH_STEP (2 * HZ)

static void ivpci_peer_silent(struct ivpci *ivpci, u32 slot)
{
	struct ivpci_peer *peer = &ivpci->peers[slot];

	ivpci_member_log(dev_warn, ivpci, "slot %u stands still: connections with it end\n", slot);
	WRITE_ONCE(peer->silent, true);
	ivpci_inc(ivpci, IVPCI_PEERS_SILENT);
	/* first, so that it is there whatever the peer does when it goes on */
	ivpci_send_event(ivpci, slot, IVPCI_EVENT_PARTED, 0);
	ivpci_rings_lost(ivpci, slot, IVPCI_RINGS_PEER_SILENT);
	ivpci_client_peer_lost(ivpci, peer->gid);
}

static void ivpci_peer_watch(struct ivpci *ivpci, u32 slot, unsigned long passed)
{
	struct ivpci_peer *peer = &ivpci->peers[slot];
	u32 heartbeat = READ_ONCE(ivpci_ctl(ivpci, slot)->heartbeat);
	u64 limit = (u64)READ_ONCE(ivpci_silent_s) * HZ;

	if (heartbeat != peer->heartbeat) {
		if (peer->silent)
			ivpci_member_log(dev_info, ivpci, "slot %u goes on\n", slot);
		ivpci_silence_reset(ivpci, slot);
		return;
	}
	WRITE_ONCE(peer->quiet, peer->quiet + passed);
	if (!peer->silent && limit && peer->quiet >= limit)
		ivpci_peer_silent(ivpci, slot);
}

/* Once a second or more often, with member_lock held. */
void ivpci_silence_watch(struct ivpci *ivpci)
{
	unsigned long now = jiffies, passed = min(now - ivpci->watched, IVPCI_WATCH_STEP);
	u32 slot;

	ivpci->watched = now;
	mutex_lock(&ivpci->peer_lock);
	for (slot = 1; slot <= ivpci->layout.slots; slot++)
		if (ivpci->peers[slot].generation)
			ivpci_peer_watch(ivpci, slot, passed);
	mutex_unlock(&ivpci->peer_lock);
}

/* The peer is alive, or a new one; peer_lock held. */
void ivpci_silence_reset(struct ivpci *ivpci, u32 slot)
{
	struct ivpci_peer *peer = &ivpci->peers[slot];

	peer->heartbeat = READ_ONCE(ivpci_ctl(ivpci, slot)->heartbeat);
	WRITE_ONCE(peer->quiet, 0);
	WRITE_ONCE(peer->silent, false);
}
