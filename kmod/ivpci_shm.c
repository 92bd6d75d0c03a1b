// SPDX-License-Identifier: GPL-2.0-only
/*
 * BAR 2: mapping it, checking what the broker wrote there, asking the broker.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "ivpci.h"
#include "ivpci_identity.h"

/* A broker that is there answers in well under this, even under TCG. */
#define IVPCI_REQUEST_TIMEOUT (HZ / 2)

static int ivpci_layout_check(struct ivpci *ivpci)
{
	struct device *dev = &ivpci->pdev->dev;
	const struct ivpci_header *h = &ivpci->identity;
	struct ivpci_layout *l = &ivpci->layout;
	u64 size = pci_resource_len(ivpci->pdev, 2);

	/* the broker writes the magic last */
	smp_load_acquire(&ivpci_header(ivpci)->magic);
	ivpci_identity_copy(&ivpci->identity, ivpci_header(ivpci));
	if (h->magic != IVPCI_SHM_MAGIC)
		return dev_err_probe(dev, -ENODEV,
				     "not made by ivpci-broker (no magic), left alone\n");
	if (h->version != IVPCI_SHM_VERSION)
		return dev_err_probe(dev, -EPROTO, "region has ABI version %u, driver has %u\n",
				     h->version, IVPCI_SHM_VERSION);
	if (ivpci_layout_init(l, size, h->slots))
		return dev_err_probe(dev, -EPROTO, "%llu bytes cannot serve %u slots\n", size,
				     h->slots);
	if (h->size != l->size || h->area_off != l->area_off || h->area_size != l->area_size ||
	    h->chunk_off != l->chunk_off || h->chunks != l->chunks || h->lease_off != l->lease_off)
		return dev_err_probe(dev, -EPROTO, "header contradicts the layout of %llu bytes\n",
				     size);
	if (!ivpci->slot || ivpci->slot > h->slots)
		return dev_err_probe(dev, -EPROTO, "IVPosition %u is no slot of 1..%u\n",
				     ivpci->slot, h->slots);
	return 0;
}

/* Tells a mapping of ours from everybody else's, also one that a module before us left. */
#define IVPCI_PGMAP_OWNER ((void *)IVPCI_SHM_MAGIC)
/* A chunk is one compound page: see ivpci_shm_map(). */
#define IVPCI_PGMAP_SHIFT ilog2(IVPCI_CHUNK_SIZE >> PAGE_SHIFT)

/* The mapping that was left behind when the device was taken away (ivpci_shm_unmap()), NULL: none. */
static struct dev_pagemap *ivpci_pgmap_left(struct pci_dev *pdev)
{
	struct dev_pagemap *pgmap = compat_get_dev_pagemap(PHYS_PFN(pci_resource_start(pdev, 2)));
	bool ours;

	if (!pgmap)
		return NULL;
	/* another version of ours may have had smaller pages */
	ours = pgmap->owner == IVPCI_PGMAP_OWNER && pgmap->type == MEMORY_DEVICE_GENERIC &&
	       pgmap->vmemmap_shift == IVPCI_PGMAP_SHIFT && pgmap->nr_range == 1 &&
	       pgmap->range.start == pci_resource_start(pdev, 2) &&
	       pgmap->range.end == pci_resource_end(pdev, 2);
	/* nobody but who is bound to the device takes it away */
	put_dev_pagemap(pgmap);
	return ours ? pgmap : ERR_PTR(-EBUSY);
}

static struct dev_pagemap *ivpci_pgmap_new(struct pci_dev *pdev)
{
	struct dev_pagemap *pgmap = kzalloc(sizeof(*pgmap), GFP_KERNEL);
	void *shm;

	if (!pgmap)
		return ERR_PTR(-ENOMEM);
	pgmap->type = MEMORY_DEVICE_GENERIC;
	pgmap->owner = IVPCI_PGMAP_OWNER;
	pgmap->vmemmap_shift = IVPCI_PGMAP_SHIFT;
	pgmap->nr_range = 1;
	pgmap->range.start = pci_resource_start(pdev, 2);
	pgmap->range.end = pci_resource_end(pdev, 2);
	shm = memremap_pages(pgmap, dev_to_node(&pdev->dev));
	if (IS_ERR(shm)) {
		kfree(pgmap);
		return ERR_CAST(shm);
	}
	return pgmap;
}

/* SMC takes virt_to_page() of a DMB and get_page()s it for splice(): the BAR is mapped
 * with struct pages, write-back. It puts that first page into the pipe with offsets up to the
 * DMB's length, which is right only where all pages of a DMB are one compound page: a chunk is.
 */
int ivpci_shm_map(struct ivpci *ivpci)
{
	struct pci_dev *pdev = ivpci->pdev;
	struct dev_pagemap *pgmap = ivpci_pgmap_left(pdev);
	int rc;

	if (!pgmap)
		pgmap = ivpci_pgmap_new(pdev);
	if (IS_ERR(pgmap))
		return dev_err_probe(&pdev->dev, PTR_ERR(pgmap), "cannot map BAR 2\n");
	ivpci->pgmap = pgmap;
	ivpci->shm = phys_to_virt(pgmap->range.start);

	rc = ivpci_layout_check(ivpci);
	if (rc)
		ivpci_shm_unmap(ivpci);
	return rc;
}

/* References to any page of a chunk count at its first. What a program put into a pipe it may keep
 * there as long as it likes.
 */
bool ivpci_shm_lent(struct ivpci *ivpci)
{
	u64 size = range_len(&ivpci->pgmap->range), at;

	for (at = 0; at < size; at += IVPCI_CHUNK_SIZE)
		if (page_ref_count(virt_to_head_page(ivpci->shm + at)) > 1)
			return true;
	return false;
}

/* memunmap_pages() frees the struct pages, also under who holds them: then the mapping outlives the
 * device, and the module. Whoever is bound to the device next finds it.
 */
void ivpci_shm_unmap(struct ivpci *ivpci)
{
	if (ivpci_shm_lent(ivpci)) {
		dev_warn(&ivpci->pdev->dev, "a pipe holds pages of the region: they stay mapped\n");
		return;
	}
	memunmap_pages(ivpci->pgmap);
	kfree(ivpci->pgmap);
}

/* Makes our area say "nothing here yet". Our ring heads start at the receivers' tails and
 * our tails at the producers' heads, so that both ends of every ring agree that it is
 * empty. A peer that moves meanwhile sees an impossible distance and serves everything.
 */
void ivpci_area_reset(struct ivpci *ivpci)
{
	struct ivpci_layout *l = &ivpci->layout;
	u32 me = ivpci->slot;
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, me);
	u32 slot;

	/* No request may be seen in the middle of this: the broker ignores op 0. */
	WRITE_ONCE(ctl->req_op, IVPCI_OP_NONE);
	virt_wmb();
	/* all but the bulletin, which is the agent's */
	memset(ctl, 0, sizeof(*ctl));
	memset((void *)ctl + l->pair_off, 0, l->area_size - l->pair_off);
	ctl->version = IVPCI_SHM_VERSION;
	ctl->vectors = ivpci->nr_vectors;
	ctl->epoch = get_random_u64();
	/* the sequence of a request must differ from the one answered last */
	ctl->req_seq = READ_ONCE(ivpci_header(ivpci)->slot[me].ack_seq);

	for (slot = 1; slot <= l->slots; slot++) {
		struct ivpci_pair *out = ivpci_pair(ivpci, me, slot);
		struct ivpci_pair *in = ivpci_pair(ivpci, slot, me);

		if (slot == me)
			continue;
		out->head = READ_ONCE(ivpci_ctl(ivpci, slot)->tail[me]);
		out->event_head = READ_ONCE(ivpci_ctl(ivpci, slot)->event_tail[me]);
		out->overflow = READ_ONCE(ivpci_ctl(ivpci, slot)->overflow_seen[me]);
		ctl->tail[slot] = READ_ONCE(in->head);
		ctl->event_tail[slot] = READ_ONCE(in->event_head);
		ctl->overflow_seen[slot] = READ_ONCE(in->overflow);
	}
	virt_wmb(); /* before the JOIN that makes others look */
}

static bool ivpci_acked(struct ivpci *ivpci, u32 seq)
{
	return smp_load_acquire(&ivpci_header(ivpci)->slot[ivpci->slot].ack_seq) == seq;
}

/* The answer to a request is an interrupt, and an interrupt makes us look around: what is
 * asked for there is asked for at most four times a second, or a refusal would go round
 * in circles.
 */
bool ivpci_may_ask(struct ivpci *ivpci)
{
	if (time_before(jiffies, ivpci->ask_after))
		return false;
	ivpci->ask_after = jiffies + HZ / 4;
	return true;
}

/* A broker of a later era than ours cannot ring: the answer is looked for, too. */
static bool ivpci_wait_ack(struct ivpci *ivpci, u32 seq)
{
	unsigned long end = jiffies + IVPCI_REQUEST_TIMEOUT;

	while (!wait_event_timeout(ivpci->request_wait, ivpci_acked(ivpci, seq), HZ / 50 + 1))
		if (time_after(jiffies, end))
			return ivpci_acked(ivpci, seq);
	return true;
}

/* One request is outstanding at a time. What the broker grants is read from its own
 * tables later: an answer that comes too late is not lost.
 */
int ivpci_request(struct ivpci *ivpci, enum ivpci_op op, u32 arg)
{
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, ivpci->slot);
	u32 status, seq;
	int rc = 0;

	mutex_lock(&ivpci->request_lock);
	if (READ_ONCE(ivpci->broker_away)) {
		rc = -ETIMEDOUT;
		goto unlock;
	}

	seq = ctl->req_seq + 1;
	WRITE_ONCE(ctl->req_op, op);
	WRITE_ONCE(ctl->req_arg, arg);
	smp_store_release(&ctl->req_seq, seq);
	ivpci_ring_doorbell(ivpci, IVPCI_BROKER_SLOT, 0);

	if (!ivpci_wait_ack(ivpci, seq)) {
		dev_warn_ratelimited(&ivpci->pdev->dev,
				     "broker does not answer; traffic goes on, new leases wait\n");
		WRITE_ONCE(ivpci->broker_away, true);
		rc = -ETIMEDOUT;
		goto unlock;
	}
	status = READ_ONCE(ivpci_header(ivpci)->slot[ivpci->slot].ack_status);
	if (status == IVPCI_ACK_FULL)
		rc = -ENOSPC;
	else if (status != IVPCI_ACK_OK)
		rc = -EINVAL;
unlock:
	mutex_unlock(&ivpci->request_lock);
	return rc;
}
