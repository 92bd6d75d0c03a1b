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

	ivpci_member_log(dev_info, ivpci, "slot %u left\n", slot);
	trace_ivpci_peer(ivpci->number, slot, 0, gid);
	WRITE_ONCE(peer->generation, 0);
	WRITE_ONCE(peer->gid, 0);
	ivpci_inc(ivpci, IVPCI_PEERS_LOST);
	ivpci_rings_lost(ivpci, slot, IVPCI_RINGS_PEER_LEFT);
	ivpci_client_peer_lost(ivpci, gid);
}

static void ivpci_peer_found(struct ivpci *ivpci, u32 slot, u32 generation, u64 gid)
{
	struct ivpci_peer *peer = &ivpci->peers[slot];

	WRITE_ONCE(peer->gid, gid);
	WRITE_ONCE(peer->unreachable, ivpci_era_differs(ivpci, slot));
	ivpci_silence_reset(ivpci, slot);
	smp_store_release(&peer->generation, generation);
	trace_ivpci_peer(ivpci->number, slot, generation, gid);
	ivpci_member_log(dev_info, ivpci, "slot %u joined, GID %016llx\n", slot, gid);
}

/* A GID that is another one in the same generation is or was a lie: to SMC it is another peer. True: changed. */
static bool ivpci_peer_sync(struct ivpci *ivpci, u32 slot)
{
	struct ivpci_peer *peer = &ivpci->peers[slot];
	u64 gid = 0;
	u32 generation = ivpci_live_generation(ivpci, slot, &gid);
	u32 vectors = READ_ONCE(ivpci_ctl(ivpci, slot)->vectors);

	WRITE_ONCE(peer->vectors, clamp(vectors, 1, IVPCI_VECTORS_MAX));
	if (generation == peer->generation && (!generation || gid == peer->gid))
		return false;
	if (peer->generation)
		ivpci_peer_lost(ivpci, slot);
	if (generation)
		ivpci_peer_found(ivpci, slot, generation, gid);
	return true;
}

void ivpci_peers_sync(struct ivpci *ivpci)
{
	bool changed = false;
	u32 slot;

	mutex_lock(&ivpci->peer_lock);
	ivpci_guard_look(ivpci);
	for (slot = 1; slot <= ivpci->layout.slots; slot++)
		if (slot != ivpci->slot)
			changed |= ivpci_peer_sync(ivpci, slot);
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

/* What a pipe holds stays leased to us, or a program here would read what others say to each other:
 * our successor does not join before it is back. Nobody claims anything once others may be told that our
 * claims do not count.
 */
static void ivpci_leave(struct ivpci *ivpci)
{
	u32 generation = ivpci->generation;

	spin_lock_bh(&ivpci->attach_lock);
	WRITE_ONCE(ivpci->generation, 0);
	spin_unlock_bh(&ivpci->attach_lock);
	if (generation && !ivpci_shm_lent(ivpci))
		ivpci_request(ivpci, IVPCI_OP_LEAVE, 0);
}

static void ivpci_join(struct ivpci *ivpci)
{
	u32 generation;
	u64 gid = 0;

	if (!ivpci_may_ask(ivpci))
		return;
	/* of a former life: JOIN would have the broker give that memory to others */
	if (ivpci_shm_lent(ivpci)) {
		dev_warn_once(&ivpci->pdev->dev, "not joining while a pipe holds pages\n");
		return;
	}
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
	ivpci->not_ours = 0;
	/* before SMC knows the device, or that it is of use again */
	WRITE_ONCE(ivpci->open, true);
	if (ivpci_client_add(ivpci)) {
		dev_err_ratelimited(&ivpci->pdev->dev, "cannot register the SMC-D device\n");
		WRITE_ONCE(ivpci->open, false);
		ivpci_leave(ivpci);
		return;
	}
	dev_info_ratelimited(&ivpci->pdev->dev, "joined as slot %u, GID %016llx\n", ivpci->slot,
			     gid);
	ivpci_chardev_wake(ivpci);
}

/* A pipe that is still read gives its pages back in much less. */
#define IVPCI_PIPES_WAIT (2 * HZ)

/* Ends all connections and gives back every DMB. Pages that a pipe holds (splice) are waited for, but
 * not for ever: see ivpci_shm_unmap() for what becomes of them.
 */
static void ivpci_withdraw(struct ivpci *ivpci)
{
	unsigned long end;

	WRITE_ONCE(ivpci->open, false);
	ivpci_rings_lost_all(ivpci, IVPCI_RINGS_UNBIND);
	ivpci_client_del(ivpci);
	ivpci_rings_wait(ivpci);
	end = jiffies + IVPCI_PIPES_WAIT;
	while (!ivpci_dmb_all_returned(ivpci) && time_before(jiffies, end))
		msleep(50);
	ivpci_dmb_abandon(ivpci);
	ivpci_dmb_forget(ivpci);
}

/* The broker puts the header right within a second or two. What it says for longer is so: our slot was taken
 * away, or what we read when we joined was a lie, and it is somebody else's word that we believe. New
 * connections are TCP meanwhile (ivpci_guard.c).
 */
#define IVPCI_EVICTED (5 * HZ)

static bool ivpci_evicted(struct ivpci *ivpci, unsigned long passed)
{
	if (ivpci_slot_is_ours(ivpci))
		ivpci->not_ours = 0;
	else
		ivpci->not_ours += passed;
	return ivpci->not_ours >= IVPCI_EVICTED;
}

/* Ends the connections with each peer. The device stays: SMC's handshakes on their way hold pointers to
 * it, so it is never taken away for what is written somewhere.
 */
static void ivpci_part(struct ivpci *ivpci)
{
	u32 slot;

	WRITE_ONCE(ivpci->open, false);
	ivpci->parted = jiffies;
	ivpci_rings_lost_all(ivpci,
			     ivpci->going_away ? IVPCI_RINGS_SHUTDOWN : IVPCI_RINGS_NO_MEMBER);
	for (slot = 1; slot <= ivpci->layout.slots; slot++)
		if (ivpci_peer_generation(ivpci, slot))
			ivpci_client_peer_lost(ivpci, READ_ONCE(ivpci->peers[slot].gid));
}

/* Nobody in this guest reads or writes a chunk any more. */
static bool ivpci_settled(struct ivpci *ivpci)
{
	return ivpci_dmb_all_returned(ivpci) && ivpci_attach_settled(ivpci);
}

/* Parted: until all memory is back, then we join anew; or until it turns out to have been a lie. */
static void ivpci_parted(struct ivpci *ivpci)
{
	if (!ivpci->not_ours) {
		dev_info_ratelimited(&ivpci->pdev->dev, "slot %u is ours again\n", ivpci->slot);
		WRITE_ONCE(ivpci->open, true);
		return;
	}
	if (!ivpci_settled(ivpci)) {
		/* the message may have been lost; we are here as often as somebody rings */
		if (time_after_eq(jiffies, ivpci->parted + HZ))
			ivpci_part(ivpci);
		return;
	}
	ivpci_dmb_abandon(ivpci);
	ivpci_dmb_forget(ivpci);
	WRITE_ONCE(ivpci->generation, 0);
}

/* And how many vectors we have: nobody else puts that right where a member wrote over it. */
static void ivpci_heartbeats(struct ivpci *ivpci)
{
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, ivpci->slot);
	u64 brokers = READ_ONCE(ivpci_header(ivpci)->broker_heartbeat);

	WRITE_ONCE(ctl->heartbeat, (u32)ktime_get_seconds());
	WRITE_ONCE(ctl->vectors, ivpci->nr_vectors);
	if (brokers != ivpci->broker_heartbeat)
		WRITE_ONCE(ivpci->broker_away, false);
	ivpci->broker_heartbeat = brokers;
}

/* A socket that failed is closed in much less, by a program that still runs. */
#define IVPCI_SHUTDOWN_WAIT (HZ / 2)

/* Peers need not wait for our successor to notice that we are gone: they are told to end their connections with
 * us, as ours with them are ended here. SMC has done so for those that were there when the reboot began, but
 * programs still run, and some never let go of what they have: then we do not LEAVE, which would have that
 * memory be others' while it is written to.
 */
void ivpci_member_shutdown(struct ivpci *ivpci)
{
	unsigned long end = jiffies + IVPCI_SHUTDOWN_WAIT;
	bool settled;
	u32 slot;

	mutex_lock(&ivpci->member_lock);
	WRITE_ONCE(ivpci->going_away, true);
	ivpci_part(ivpci);
	mutex_unlock(&ivpci->member_lock);
	for (slot = 1; slot <= ivpci->layout.slots; slot++)
		ivpci_send_event(ivpci, slot, IVPCI_EVENT_PARTED, 0);

	while (!(settled = ivpci_settled(ivpci)) && time_before(jiffies, end))
		msleep(10);
	if (settled)
		ivpci_leave(ivpci);
}

static void ivpci_member_work(struct work_struct *work)
{
	struct ivpci *ivpci = container_of(work, struct ivpci, member_work.work);
	unsigned long passed;

	mutex_lock(&ivpci->member_lock);
	if (ivpci->going_away)
		goto unlock;

	/* longer steps are our own standing still */
	passed = min(jiffies - ivpci->worked, 2UL * HZ);
	WRITE_ONCE(ivpci->worked, jiffies);
	ivpci_heartbeats(ivpci);
	if (ivpci->generation && ivpci_evicted(ivpci, passed) && ivpci->open) {
		dev_warn_ratelimited(&ivpci->pdev->dev,
				     "slot %u was taken away: its connections end\n", ivpci->slot);
		ivpci_part(ivpci);
	} else if (ivpci->generation && !ivpci->open) {
		ivpci_parted(ivpci);
	}
	if (!ivpci->generation)
		ivpci_join(ivpci);
	ivpci_peers_sync(ivpci);
	ivpci_silence_watch(ivpci);
	if (ivpci_bulletins_changed(ivpci))
		ivpci_chardev_wake(ivpci);
	if (ivpci->open)
		ivpci_dmb_housekeeping(ivpci);
	if (ivpci->open && READ_ONCE(ivpci_look_unrung)) {
		/*
		 * Without a doorbell: events that were too many are still there, and whoever says in our
		 * name that we look has peers ring none.
		 */
		local_bh_disable(); /* softirqs run when they are on again, not whenever ksoftirqd does */
		ivpci_look(ivpci);
		local_bh_enable();
		ivpci_serve_next_peer(ivpci);
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
	ivpci_era_init(ivpci);
	/* until ivpci_member_start() */
	ivpci->going_away = true;
	ivpci->ask_after = jiffies;
	ivpci->watched = jiffies;
	ivpci->served_at = jiffies - HZ;
	ivpci->worked = jiffies;
	/* all of a full region may come and go at once */
	ratelimit_state_init(&ivpci->member_log, 10 * HZ, 2 * ivpci->layout.slots + 10);

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

/* Interrupts may come before, and find nothing to do. */
void ivpci_member_start(struct ivpci *ivpci)
{
	mutex_lock(&ivpci->member_lock);
	WRITE_ONCE(ivpci->going_away, false);
	mutex_unlock(&ivpci->member_lock);
	queue_delayed_work(ivpci->wq, &ivpci->member_work, 0);
}

/* A doorbell costs its sender nothing: it is looked around at intervals, however often it rings. */
#define IVPCI_MEMBER_INTERVAL (HZ / 50 + 1)

void ivpci_member_kick(struct ivpci *ivpci)
{
	unsigned long due = READ_ONCE(ivpci->worked) + IVPCI_MEMBER_INTERVAL, now = jiffies;

	if (READ_ONCE(ivpci->going_away))
		return;
	mod_delayed_work(ivpci->wq, &ivpci->member_work, time_after(due, now) ? due - now : 0);
}

/* Interrupts still come (the LEAVE is answered by one), but start no work any more. */
void ivpci_member_stop(struct ivpci *ivpci)
{
	ivpci_rings_close(ivpci);
	mutex_lock(&ivpci->member_lock);
	WRITE_ONCE(ivpci->going_away, true);
	mutex_unlock(&ivpci->member_lock);
	cancel_delayed_work_sync(&ivpci->member_work);

	ivpci_withdraw(ivpci);
	ivpci_leave(ivpci);
}

/* No interrupt comes any more. One that came while we stopped may have armed the work once more. */
void ivpci_member_exit(struct ivpci *ivpci)
{
	cancel_delayed_work_sync(&ivpci->member_work);
	destroy_workqueue(ivpci->wq);
	kfree(ivpci->peers);
}
