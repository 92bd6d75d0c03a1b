// SPDX-License-Identifier: GPL-2.0-only
/*
 * Membership: joining the region, noticing who comes and goes.
 *
 * All of it is one work item that runs on every control interrupt and once a second. The
 * interrupt is a hint: what counts is what the broker's words say now.
 */
#include <linux/delay.h>
#include <linux/slab.h>

#include "ivpci.h"
#include "ivpci_trace.h"

/* The generation in which a slot is live, with its GID; 0 when it is not (or is just
 * changing: another interrupt follows).
 */
static u32 ivpci_live_generation(struct ivpci *ivpci, u32 slot, u64 *gid)
{
	struct ivpci_slot *s = &ivpci_header(ivpci)->slot[slot];
	u32 generation;

	if (smp_load_acquire(&s->state) != IVPCI_SLOT_LIVE)
		return 0;
	generation = READ_ONCE(s->generation);
	*gid = READ_ONCE(s->gid);
	virt_rmb();
	if (READ_ONCE(s->state) != IVPCI_SLOT_LIVE || READ_ONCE(s->generation) != generation)
		return 0;
	return generation & IVPCI_GENERATION_MASK;
}

static void ivpci_peer_lost(struct ivpci *ivpci, u32 slot)
{
	struct ivpci_peer *peer = &ivpci->peers[slot];
	u64 gid = peer->gid;

	dev_info(&ivpci->pdev->dev, "slot %u left\n", slot);
	trace_ivpci_peer(ivpci->number, slot, 0, gid);
	WRITE_ONCE(peer->generation, 0);
	WRITE_ONCE(peer->gid, 0);
	ivpci_inc(ivpci, IVPCI_PEERS_LOST);
	ivpci_client_peer_lost(ivpci, gid);
}

static void ivpci_peer_found(struct ivpci *ivpci, u32 slot, u32 generation, u64 gid)
{
	struct ivpci_peer *peer = &ivpci->peers[slot];
	u32 vectors = READ_ONCE(ivpci_ctl(ivpci, slot)->vectors);

	WRITE_ONCE(peer->vectors, clamp(vectors, 1, IVPCI_VECTORS_MAX));
	WRITE_ONCE(peer->gid, gid);
	WRITE_ONCE(peer->unreachable, ivpci_era_differs(ivpci, slot));
	ivpci_silence_reset(ivpci, slot);
	smp_store_release(&peer->generation, generation);
	trace_ivpci_peer(ivpci->number, slot, generation, gid);
	dev_info(&ivpci->pdev->dev, "slot %u joined, GID %016llx\n", slot, gid);
}

static void ivpci_peers_sync(struct ivpci *ivpci)
{
	struct ivpci_peer *peer;
	bool changed = false;
	u32 slot, generation;
	u64 gid = 0;

	mutex_lock(&ivpci->peer_lock);
	ivpci_guard_look(ivpci);
	for (slot = 1; slot <= ivpci->layout.slots; slot++) {
		if (slot == ivpci->slot)
			continue;
		peer = &ivpci->peers[slot];
		generation = ivpci_live_generation(ivpci, slot, &gid);
		if (generation == peer->generation)
			continue;
		if (peer->generation)
			ivpci_peer_lost(ivpci, slot);
		if (generation)
			ivpci_peer_found(ivpci, slot, generation, gid);
		changed = true;
	}
	if (changed)
		ivpci_era_sync(ivpci);
	mutex_unlock(&ivpci->peer_lock);
	if (changed)
		ivpci_chardev_wake(ivpci);
}

static bool ivpci_bulletins_changed(struct ivpci *ivpci)
{
	struct ivpci_peer *peer;
	bool changed = false;
	u32 slot, seq;

	for (slot = 1; slot <= ivpci->layout.slots; slot++) {
		peer = &ivpci->peers[slot];
		if (slot == ivpci->slot || !peer->generation)
			continue;
		seq = READ_ONCE(ivpci_ctl(ivpci, slot)->bulletin_seq);
		changed |= seq != peer->bulletin_seq;
		peer->bulletin_seq = seq;
	}
	return changed;
}

/**
 * ivpci_peer_by_gid() - the slot of another live member that does not stand still, asked of
 * the broker's table
 *
 * Context: process, sleeps. Called by SMC under its device list mutex.
 * Return: slot, or 0
 */
u32 ivpci_peer_by_gid(struct ivpci *ivpci, u64 gid)
{
	u32 slot;

	if (!gid)
		return 0;
	ivpci_peers_sync(ivpci);
	for (slot = 1; slot <= ivpci->layout.slots; slot++)
		if (ivpci_peer_generation(ivpci, slot) && READ_ONCE(ivpci->peers[slot].gid) == gid)
			return READ_ONCE(ivpci->peers[slot].silent) ? 0 : slot;
	return 0;
}

static void ivpci_join(struct ivpci *ivpci)
{
	u32 generation;
	u64 gid = 0;

	if (!ivpci_may_ask(ivpci))
		return;
	ivpci_area_reset(ivpci);
	if (ivpci_request(ivpci, IVPCI_OP_JOIN, 0))
		return;
	generation = ivpci_live_generation(ivpci, ivpci->slot, &gid);
	if (!generation)
		return;

	ivpci->gid = gid;
	WRITE_ONCE(ivpci->generation, generation);
	ivpci_peers_sync(ivpci);
	ivpci_dmb_housekeeping(ivpci);
	if (ivpci_client_add(ivpci)) {
		dev_err(&ivpci->pdev->dev, "cannot register the SMC-D device\n");
		ivpci_request(ivpci, IVPCI_OP_LEAVE, 0);
		WRITE_ONCE(ivpci->generation, 0);
		return;
	}
	dev_info(&ivpci->pdev->dev, "joined as slot %u, GID %016llx\n", ivpci->slot, gid);
	ivpci_chardev_wake(ivpci);
}

/* Ends all connections and gives back every DMB. Pages that a pipe still holds (splice)
 * can keep it waiting, as they keep any driver waiting that lent its memory.
 */
static void ivpci_withdraw(struct ivpci *ivpci)
{
	unsigned int waits = 0;

	ivpci_client_del(ivpci);
	ivpci->withdrawn = true;
	while (!ivpci_dmb_all_returned(ivpci)) {
		if (waits++ % 100 == 99)
			dev_warn(&ivpci->pdev->dev, "waiting for DMB pages still in use\n");
		msleep(100);
	}
	ivpci_dmb_forget(ivpci);
	ivpci->withdrawn = false;
	WRITE_ONCE(ivpci->generation, 0);
}

/* LIVE in another generation is nothing the broker does unasked: see ivpci_guard.c. */
static bool ivpci_evicted(struct ivpci *ivpci)
{
	return ivpci->generation &&
	       READ_ONCE(ivpci_header(ivpci)->slot[ivpci->slot].state) != IVPCI_SLOT_LIVE;
}

static void ivpci_heartbeats(struct ivpci *ivpci)
{
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, ivpci->slot);
	u64 brokers = READ_ONCE(ivpci_header(ivpci)->broker_heartbeat);

	WRITE_ONCE(ctl->heartbeat, (u32)ktime_get_seconds());
	if (brokers != ivpci->broker_heartbeat)
		WRITE_ONCE(ivpci->broker_away, false);
	ivpci->broker_heartbeat = brokers;
}

/* Leave behind what a reboot would: peers need not wait for our successor to notice. */
void ivpci_member_shutdown(struct ivpci *ivpci)
{
	mutex_lock(&ivpci->member_lock);
	ivpci->going_away = true;
	mutex_unlock(&ivpci->member_lock);
	if (ivpci->generation)
		ivpci_request(ivpci, IVPCI_OP_LEAVE, 0);
}

static void ivpci_member_work(struct work_struct *work)
{
	struct ivpci *ivpci = container_of(work, struct ivpci, member_work.work);

	mutex_lock(&ivpci->member_lock);
	if (ivpci->going_away)
		goto unlock;

	ivpci_heartbeats(ivpci);
	if (ivpci_evicted(ivpci)) {
		dev_warn(&ivpci->pdev->dev, "the broker took slot %u away\n", ivpci->slot);
		ivpci_withdraw(ivpci);
	}
	if (!ivpci->generation)
		ivpci_join(ivpci);
	ivpci_peers_sync(ivpci);
	ivpci_silence_watch(ivpci);
	if (ivpci_bulletins_changed(ivpci))
		ivpci_chardev_wake(ivpci);
	if (ivpci->generation)
		ivpci_dmb_housekeeping(ivpci);
	if (READ_ONCE(ivpci->events_left)) {
		WRITE_ONCE(ivpci->events_left, false);
		ivpci_look(ivpci);
	}
	queue_delayed_work(ivpci->wq, &ivpci->member_work, HZ);
unlock:
	mutex_unlock(&ivpci->member_lock);
}

int ivpci_member_init(struct ivpci *ivpci)
{
	u32 slot;

	mutex_init(&ivpci->member_lock);
	mutex_init(&ivpci->peer_lock);
	mutex_init(&ivpci->request_lock);
	init_waitqueue_head(&ivpci->request_wait);
	INIT_DELAYED_WORK(&ivpci->member_work, ivpci_member_work);
	ivpci->ask_after = jiffies;
	ivpci->watched = jiffies;

	ivpci->peers = kcalloc(ivpci->layout.slots + 1, sizeof(*ivpci->peers), GFP_KERNEL);
	if (!ivpci->peers)
		return -ENOMEM;
	for (slot = 0; slot <= ivpci->layout.slots; slot++)
		spin_lock_init(&ivpci->peers[slot].producer_lock);

	ivpci->wq = alloc_ordered_workqueue("ivpci%d", 0, ivpci->number);
	if (!ivpci->wq) {
		kfree(ivpci->peers);
		return -ENOMEM;
	}
	return 0;
}

void ivpci_member_start(struct ivpci *ivpci)
{
	queue_delayed_work(ivpci->wq, &ivpci->member_work, 0);
}

/* Interrupts still come (the LEAVE is answered by one), but start no work any more. */
void ivpci_member_stop(struct ivpci *ivpci)
{
	mutex_lock(&ivpci->member_lock);
	ivpci->going_away = true;
	mutex_unlock(&ivpci->member_lock);
	cancel_delayed_work_sync(&ivpci->member_work);

	if (ivpci->generation) {
		ivpci_withdraw(ivpci);
		ivpci_request(ivpci, IVPCI_OP_LEAVE, 0);
	}
}

void ivpci_member_exit(struct ivpci *ivpci)
{
	destroy_workqueue(ivpci->wq);
	kfree(ivpci->peers);
}
