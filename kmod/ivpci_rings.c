// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings, see ivpci_rings.h: memory shared with one peer, for other modules of this kernel.
 *
 * Each is on the list of its peer, or on `rings_due` when something is to be done about it. That is done by
 * one work item, one by one: asking for the end, and the end. So callbacks of a user do not overlap, and
 * whoever brings bad news or ends rings need not wait, in whatever context it is.
 */
#include <linux/nospec.h>
#include <linux/rwsem.h>
#include <linux/slab.h>

#include "ivpci.h"
#include "ivpci_rings.h"

/* What users have, and what is ours of it. */
struct ivpci_rings_held {
	struct ivpci_rings rings;
	struct ivpci *ivpci;
	const struct ivpci_rings_user *calls;
	void *user;
	u32 slot, generation; /* the peer */
	u64 out_token;	      /* 0: not connected */

	/* rings_lock */
	struct list_head list;	  /* empty: the work has it */
	enum ivpci_rings_why why; /* 0: all is well */
	bool told;		  /* so by gone() */
	bool ended;
};

/* Devices that rings are made on: who makes some has it, so who writes waits for those. */
static DECLARE_RWSEM(ivpci_rings_gate);
static LIST_HEAD(ivpci_rings_devices);

static struct ivpci_rings_held *ivpci_held(const struct ivpci_rings *rings)
{
	return container_of(rings, struct ivpci_rings_held, rings);
}

/* The peer as it was when the rings were made, and we are in a state to begin something. */
static bool ivpci_rings_wanted(struct ivpci *ivpci, u32 slot, u32 generation)
{
	return ivpci_may_begin(ivpci) && ivpci_peer_generation(ivpci, slot) == generation &&
	       !READ_ONCE(ivpci->peers[slot].silent);
}

/* The same, asked of the broker's table. Process context, sleeps. */
static int ivpci_rings_may(struct ivpci *ivpci, u32 slot, u32 generation)
{
	if (!ivpci_may_begin(ivpci))
		return -ENETDOWN;
	ivpci_peers_sync(ivpci);
	if (!ivpci_header_trusted(ivpci)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_HEADER);
		return -EACCES;
	}
	if (!ivpci_rings_wanted(ivpci, slot, generation)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
		return -ENETUNREACH;
	}
	return 0;
}

/* Where bad news finds it. Who brings some has said so in the state that is looked at here, before. */
static bool ivpci_rings_list(struct ivpci_rings_held *held)
{
	struct ivpci *ivpci = held->ivpci;
	u32 index = ivpci_token_index(held->rings.token);
	bool wanted;

	spin_lock_bh(&ivpci->rings_lock);
	wanted = ivpci_rings_wanted(ivpci, held->slot, held->generation);
	if (wanted) {
		list_add(&held->list, &ivpci->peers[held->slot].rings);
		WRITE_ONCE(ivpci->nr_rings, ivpci->nr_rings + 1);
		rcu_assign_pointer(ivpci->dmbs[index].rings, held);
	}
	spin_unlock_bh(&ivpci->rings_lock);
	return wanted;
}

static int ivpci_rings_connect(struct ivpci_rings *rings, u64 token)
{
	struct ivpci_rings_held *held = ivpci_held(rings);
	struct ivpci *ivpci = held->ivpci;
	struct ivpci_dmb theirs;
	void *addr;
	int rc;

	if (held->out_token)
		return -EALREADY;
	if (ivpci_token_slot(token) != held->slot)
		return -EINVAL;
	rc = ivpci_rings_may(ivpci, held->slot, held->generation);
	if (rc)
		return rc;
	rc = ivpci_attach(ivpci, token, &theirs, &addr);
	if (rc)
		return rc;
	if (theirs.token != token)
		rc = -EINVAL; /* found with its bytes reversed, which is SMC's way */
	else if (!ivpci_rings_wanted(ivpci, held->slot, held->generation))
		rc = -ENETUNREACH; /* that DMB may be the next one's in the slot */
	if (rc) {
		ivpci_detach(ivpci, token);
		return rc;
	}
	atomic_inc(&ivpci->nr_rings_attached);
	held->out_token = token;
	rings->out_len = theirs.len;
	rings->out = addr;
	return 0;
}

static void ivpci_rings_signal(struct ivpci_rings *rings)
{
	struct ivpci_rings_held *held = ivpci_held(rings);

	ivpci_signal(held->ivpci, held->slot, ivpci_token_index(held->out_token));
}

static unsigned int ivpci_rings_quiet_ms(const struct ivpci_rings *rings)
{
	struct ivpci_rings_held *held = ivpci_held(rings);

	return jiffies_to_msecs(READ_ONCE(held->ivpci->peers[held->slot].quiet));
}

/* Under RCU: see ivpci_rings_exit(). */
static void ivpci_rings_ended(struct ivpci_rings *rings)
{
	struct ivpci_rings_held *held = ivpci_held(rings);
	struct ivpci *ivpci = held->ivpci;

	spin_lock_bh(&ivpci->rings_lock);
	if (!WARN_ON_ONCE(held->ended)) {
		held->ended = true;
		list_move_tail(&held->list, &ivpci->rings_due);
	}
	spin_unlock_bh(&ivpci->rings_lock);
	/* `held` may be gone */
	queue_work(ivpci->rings_wq, &ivpci->rings_work);
}

static const struct ivpci_rings_calls ivpci_rings_calls = {
	.connect = ivpci_rings_connect,
	.signal = ivpci_rings_signal,
	.quiet_ms = ivpci_rings_quiet_ms,
	.end = ivpci_rings_ended,
};

static int ivpci_rings_make_on(struct ivpci *ivpci, struct ivpci_rings_held *held, u32 slot,
			       u32 generation, u32 len)
{
	struct ivpci_dmb own;
	void *addr;
	int rc;

	if (!slot || slot > ivpci->layout.slots || slot == ivpci->slot || !generation)
		return -EINVAL;
	slot = array_index_nospec(slot, ivpci->layout.slots + 1);
	rc = ivpci_rings_may(ivpci, slot, generation);
	if (rc)
		return rc;
	rc = ivpci_dmb_register(ivpci, slot, len, &own, &addr);
	if (rc)
		return rc;
	held->ivpci = ivpci;
	held->slot = slot;
	held->generation = generation;
	held->rings.calls = &ivpci_rings_calls;
	held->rings.in = addr;
	held->rings.in_len = own.len;
	held->rings.token = own.token;
	/* was it described to that peer, or to the next one? */
	if (own.writer_generation != generation || !ivpci_rings_list(held)) {
		ivpci_dmb_unregister(ivpci, own.token);
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
		return -ENETUNREACH;
	}
	return 0;
}

static struct ivpci *ivpci_rings_device(unsigned int number)
{
	struct ivpci *ivpci;

	list_for_each_entry(ivpci, &ivpci_rings_devices, rings_device)
		if (ivpci->number == number)
			return ivpci;
	return NULL;
}

static struct ivpci_rings *ivpci_rings_make(const struct ivpci_rings_ask *ask)
{
	struct ivpci_rings_held *held = kzalloc(sizeof(*held), GFP_KERNEL);
	struct ivpci *ivpci;
	int rc = -ENODEV;

	if (!held)
		return ERR_PTR(-ENOMEM);
	held->calls = ask->calls;
	held->user = ask->user;
	down_read(&ivpci_rings_gate);
	ivpci = ivpci_rings_device(ask->device);
	if (ivpci)
		rc = ivpci_rings_make_on(ivpci, held, ask->slot, ask->generation, ask->len);
	up_read(&ivpci_rings_gate);
	if (!rc)
		return &held->rings;
	kfree(held);
	return ERR_PTR(rc);
}

const struct ivpci_rings_driver ivpci_rings_this = {
	.make = ivpci_rings_make,
};
EXPORT_SYMBOL_GPL(ivpci_rings_this);

bool ivpci_rings_signalled(struct ivpci *ivpci, u32 index, bool rung)
{
	struct ivpci_rings_held *held = rcu_dereference_bh(ivpci->dmbs[index].rings);

	if (!held)
		return false;
	held->calls->signal(held->user, rung);
	return true;
}

/* Nobody has any use for it but the peer, which may be writing to our memory and hold it claimed. */
static void ivpci_rings_free(struct ivpci_rings_held *held)
{
	struct ivpci *ivpci = held->ivpci;

	rcu_assign_pointer(ivpci->dmbs[ivpci_token_index(held->rings.token)].rings, NULL);
	/* a tasklet may still be in signal() */
	ivpci_irq_quiesce(ivpci);
	if (held->out_token) {
		/* before: what is left of all attachments is never fewer than SMC's */
		atomic_dec(&ivpci->nr_rings_attached);
		ivpci_detach(ivpci, held->out_token);
	}
	ivpci_dmb_unregister(ivpci, held->rings.token);
	held->calls->release(held->user);
	kfree(held);

	spin_lock_bh(&ivpci->rings_lock);
	WRITE_ONCE(ivpci->nr_rings, ivpci->nr_rings - 1);
	spin_unlock_bh(&ivpci->rings_lock);
	wake_up(&ivpci->rings_wait);
}

/* The next one that is due, off all lists. *end: what is due is its end. */
static struct ivpci_rings_held *ivpci_rings_next(struct ivpci *ivpci, bool *end)
{
	struct ivpci_rings_held *held;

	spin_lock_bh(&ivpci->rings_lock);
	held = list_first_entry_or_null(&ivpci->rings_due, struct ivpci_rings_held, list);
	if (held) {
		list_del_init(&held->list);
		*end = held->ended;
		held->told = true;
	}
	spin_unlock_bh(&ivpci->rings_lock);
	return held;
}

static void ivpci_rings_tell(struct ivpci_rings_held *held)
{
	struct ivpci *ivpci = held->ivpci;

	/* until this is over nobody but us frees it */
	held->calls->gone(held->user, held->why);
	spin_lock_bh(&ivpci->rings_lock);
	if (!held->ended)
		list_add(&held->list, &ivpci->peers[held->slot].rings);
	spin_unlock_bh(&ivpci->rings_lock);
}

static void ivpci_rings_work(struct work_struct *work)
{
	struct ivpci *ivpci = container_of(work, struct ivpci, rings_work);
	struct ivpci_rings_held *held;
	bool end;

	while ((held = ivpci_rings_next(ivpci, &end))) {
		if (end)
			ivpci_rings_free(held);
		else
			ivpci_rings_tell(held);
		cond_resched();
	}
}

/* Has the users of a peer's rings asked for their end, who are told once each. Any context but hard irq. */
void ivpci_rings_lost(struct ivpci *ivpci, u32 slot, enum ivpci_rings_why why)
{
	struct ivpci_rings_held *held, *next;
	bool any = false;

	spin_lock_bh(&ivpci->rings_lock);
	list_for_each_entry_safe(held, next, &ivpci->peers[slot].rings, list) {
		if (held->told)
			continue;
		held->why = why;
		list_move_tail(&held->list, &ivpci->rings_due);
		any = true;
	}
	spin_unlock_bh(&ivpci->rings_lock);
	if (any)
		queue_work(ivpci->rings_wq, &ivpci->rings_work);
}

void ivpci_rings_lost_all(struct ivpci *ivpci, enum ivpci_rings_why why)
{
	u32 slot;

	for (slot = 1; slot <= ivpci->layout.slots; slot++)
		ivpci_rings_lost(ivpci, slot, why);
}

void ivpci_rings_open(struct ivpci *ivpci)
{
	down_write(&ivpci_rings_gate);
	list_add(&ivpci->rings_device, &ivpci_rings_devices);
	up_write(&ivpci_rings_gate);
}

/* None is made any more. */
void ivpci_rings_close(struct ivpci *ivpci)
{
	down_write(&ivpci_rings_gate);
	list_del(&ivpci->rings_device);
	up_write(&ivpci_rings_gate);
}

/* A user's bounded time should be much less. */
#define IVPCI_RINGS_COMPLAIN (10 * HZ)

/* Until all are ended, however long it takes: their memory is about to go. */
void ivpci_rings_wait(struct ivpci *ivpci)
{
	while (!wait_event_timeout(ivpci->rings_wait, !READ_ONCE(ivpci->nr_rings),
				   IVPCI_RINGS_COMPLAIN))
		dev_warn(&ivpci->pdev->dev, "%u rings are still in use\n",
			 READ_ONCE(ivpci->nr_rings));
}

int ivpci_rings_init(struct ivpci *ivpci)
{
	u32 slot;

	spin_lock_init(&ivpci->rings_lock);
	INIT_LIST_HEAD(&ivpci->rings_due);
	INIT_WORK(&ivpci->rings_work, ivpci_rings_work);
	init_waitqueue_head(&ivpci->rings_wait);
	for (slot = 0; slot <= ivpci->layout.slots; slot++)
		INIT_LIST_HEAD(&ivpci->peers[slot].rings);
	ivpci->rings_wq = alloc_ordered_workqueue("ivpci%d-rings", 0, ivpci->number);
	return ivpci->rings_wq ? 0 : -ENOMEM;
}

/* There are none any more. */
void ivpci_rings_exit(struct ivpci *ivpci)
{
	/* whoever ended the last ones may be about to queue the work, or still be on the way out of this module */
	synchronize_rcu();
	destroy_workqueue(ivpci->rings_wq);
}
