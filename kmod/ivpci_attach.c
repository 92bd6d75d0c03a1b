// SPDX-License-Identifier: GPL-2.0-only
/*
 * Peers' DMBs: claiming them, mapping them as send buffers, writing into them.
 *
 * A claim word is set before the descriptor is trusted and cleared a grace period after
 * the last user went, since ivpci_move() reads attachments under RCU alone. All claim
 * words are written under attach_lock.
 */
#include <linux/slab.h>

#include "compat/compat.h"
#include "ivpci.h"
#include "ivpci_order.h"
#include "ivpci_trace.h"

static struct ivpci_attachment __rcu **ivpci_attachment_slot(struct ivpci *ivpci, u64 token)
{
	return &ivpci->attachments[ivpci_token_slot(token) * IVPCI_DMBS + ivpci_token_index(token)];
}

static struct ivpci_attachment *ivpci_attachment_locked(struct ivpci *ivpci, u64 token)
{
	return rcu_dereference_protected(*ivpci_attachment_slot(ivpci, token),
					 lockdep_is_held(&ivpci->attach_lock));
}

/* Bounds every field of a token that came from a peer. */
static bool ivpci_token_plausible(struct ivpci *ivpci, u64 token)
{
	u32 slot = ivpci_token_slot(token);

	return slot && slot <= ivpci->layout.slots && slot != ivpci->slot &&
	       ivpci_token_index(token) < IVPCI_DMBS && ivpci_token_serial(token);
}

/* SMC of 6.1 on x86 puts tokens into its CLC messages as they are in memory, newer ones turn them
 * into network order: between the two they arrive with their bytes reversed. Attachments and
 * descriptors hold tokens in full, so they tell which way is right.
 */
static bool ivpci_token_known(struct ivpci *ivpci, u64 token)
{
	u32 slot = ivpci_token_slot(token), index = ivpci_token_index(token);
	struct ivpci_attachment *a;
	bool known;

	if (!ivpci_token_plausible(ivpci, token))
		return false;
	rcu_read_lock();
	a = rcu_dereference(*ivpci_attachment_slot(ivpci, token));
	known = a && a->token == token;
	rcu_read_unlock();
	return known || READ_ONCE(ivpci_desc(ivpci, slot, index)->token) == token;
}

/**
 * ivpci_token_from_peer() - a token as its owner means it
 *
 * Context: any but hard irq.
 * Return: @token, or @token with its bytes reversed where only that is one
 */
u64 ivpci_token_from_peer(struct ivpci *ivpci, u64 token)
{
	u64 reversed = swab64(token);

	if (!ivpci_token_known(ivpci, token) && ivpci_token_known(ivpci, reversed))
		return reversed;
	return token;
}

/* The descriptor is the peer's word: it must name us, and memory that the broker leased to
 * that peer, or we would write into somebody else's for it.
 */
static int ivpci_desc_check(struct ivpci *ivpci, u64 token, void **addr, u32 *len)
{
	struct ivpci_layout *l = &ivpci->layout;
	u32 slot = ivpci_token_slot(token);
	struct ivpci_dmb_desc *desc = ivpci_desc(ivpci, slot, ivpci_token_index(token));
	u32 generation = ivpci_peer_generation(ivpci, slot);
	u64 offset, in_chunks;

	if (!generation || smp_load_acquire(&desc->token) != token)
		return -ENOENT;
	if (READ_ONCE(desc->writer) != ivpci->slot ||
	    READ_ONCE(desc->writer_generation) != ivpci->generation)
		return -EACCES;
	offset = READ_ONCE(desc->offset);
	*len = READ_ONCE(desc->len);
	if (ivpci_dmb_order(*len) < 0 || offset < l->chunk_off || offset >= l->size ||
	    offset % *len)
		return -EINVAL;
	/* aligned to its length, so it ends in the chunk it begins in */
	in_chunks = offset - l->chunk_off;
	if (ivpci_leaseholder(ivpci, in_chunks / IVPCI_CHUNK_SIZE) != ivpci_lease(slot, generation))
		return -EACCES;
	*addr = ivpci->shm + offset;
	return 0;
}

/* Claims, then looks. Pairs with the barrier in ivpci_dmb_unregister(): either the owner
 * sees our claim, or we see its withdrawal.
 */
static int ivpci_claim_take(struct ivpci *ivpci, u64 token, void **addr, u32 *len)
{
	u32 *claim =
		ivpci_claim(ivpci, ivpci->slot, ivpci_token_slot(token), ivpci_token_index(token));
	u32 before = READ_ONCE(*claim);
	int rc;

	lockdep_assert_held(&ivpci->attach_lock);

	if (before && before != ivpci_token_serial(token))
		return -EBUSY; /* the former DMB of this index is not let go yet */
	ivpci_claim_set(claim, ivpci_token_serial(token));
	rc = ivpci_desc_check(ivpci, token, addr, len);
	if (rc)
		WRITE_ONCE(*claim, before);
	return rc;
}

static void ivpci_claim_drop(struct ivpci *ivpci, u64 token)
{
	/* after all our writes into the DMB */
	smp_store_release(
		ivpci_claim(ivpci, ivpci->slot, ivpci_token_slot(token), ivpci_token_index(token)),
		0);
}

/**
 * ivpci_attach() - map a peer's DMB as a send buffer
 *
 * May be called again for the same token: connections that follow each other on one DMB
 * overlap here.
 * Context: process.
 * Return: 0, or why the DMB cannot be had
 */
int ivpci_attach(struct ivpci *ivpci, u64 token, void **addr, u32 *len)
{
	struct ivpci_attachment *a, *fresh;
	int rc = 0;

	if (!ivpci_token_plausible(ivpci, token)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
		return -EINVAL;
	}
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
	if (!fresh)
		return -ENOMEM;

	spin_lock_bh(&ivpci->attach_lock);
	a = ivpci_attachment_locked(ivpci, token);
	if (a && a->token != token) {
		rc = -EBUSY;
		goto unlock;
	}
	if (!a) {
		rc = ivpci_claim_take(ivpci, token, &fresh->addr, &fresh->len);
		if (rc)
			goto unlock;
		swap(a, fresh);
		a->ivpci = ivpci;
		a->token = token;
		rcu_assign_pointer(*ivpci_attachment_slot(ivpci, token), a);
		atomic_inc(&ivpci->nr_attachments);
	}
	a->users++;
	a->count = 0;
	a->wrap = 0;
	*addr = a->addr;
	*len = a->len;
unlock:
	spin_unlock_bh(&ivpci->attach_lock);
	trace_ivpci_attach(ivpci->number, token, rc);
	if (rc)
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
	kfree(fresh);
	return rc;
}

static void ivpci_attachment_release(struct rcu_head *rcu)
{
	struct ivpci_attachment *a = container_of(rcu, struct ivpci_attachment, rcu);
	struct ivpci *ivpci = a->ivpci;

	spin_lock_bh(&ivpci->attach_lock);
	/* attached again meanwhile: the claim is the new attachment's */
	if (!ivpci_attachment_locked(ivpci, a->token))
		ivpci_claim_drop(ivpci, a->token);
	spin_unlock_bh(&ivpci->attach_lock);
	kfree(a);
}

/**
 * ivpci_detach() - one user of a send buffer less
 *
 * Context: any but hard irq.
 * Return: 0, -EINVAL (not attached)
 */
int ivpci_detach(struct ivpci *ivpci, u64 token)
{
	struct ivpci_attachment *a;
	int rc = 0;

	if (!ivpci_token_plausible(ivpci, token))
		return -EINVAL;

	spin_lock_bh(&ivpci->attach_lock);
	a = ivpci_attachment_locked(ivpci, token);
	if (!a || a->token != token) {
		rc = -EINVAL;
	} else if (!--a->users) {
		RCU_INIT_POINTER(*ivpci_attachment_slot(ivpci, token), NULL);
		atomic_dec(&ivpci->nr_attachments);
		call_rcu(&a->rcu, ivpci_attachment_release);
	}
	spin_unlock_bh(&ivpci->attach_lock);
	trace_ivpci_detach(ivpci->number, token, rc);
	return rc;
}

/* SMC-D's CDC message, as far as we read and must not tear it (net/smc/smc_cdc.h, struct
 * smcd_cdc_msg): four 64-bit words, the second is the producer cursor {u16 wrap, u32
 * count, u8 flags[2]}, the third the consumer cursor. The receiver reads each as one word.
 */
#define IVPCI_CDC_SIZE	   32
#define IVPCI_CDC_PRODUCER 8

static void ivpci_write(void *to, const void *from, u32 size)
{
	const u64 *src = from;
	u64 *dst = to;
	u32 i;

	if (size % sizeof(u64) || !IS_ALIGNED((unsigned long)to, sizeof(u64))) {
		memcpy(to, from, size);
		return;
	}
	for (i = 0; i < size / sizeof(u64); i++)
		WRITE_ONCE(dst[i], get_unaligned(&src[i]));
}

/* With a mapped send buffer the payload does not pass here, its cursor does. */
static void ivpci_count_payload(struct ivpci *ivpci, struct ivpci_attachment *a, const void *cdc)
{
	u16 wrap = get_unaligned((u16 *)(cdc + IVPCI_CDC_PRODUCER));
	u32 count = get_unaligned((u32 *)(cdc + IVPCI_CDC_PRODUCER + 2));
	s64 bytes = (s64)(u16)(wrap - a->wrap) * (a->len - IVPCI_CDC_SIZE) + count - a->count;

	if (bytes > 0 && bytes <= a->len)
		ivpci_add(ivpci, IVPCI_BYTES_SENT, bytes);
	a->wrap = wrap;
	a->count = count;
}

static bool ivpci_fits(u32 offset, u32 size, u32 len)
{
	return (u64)offset + size <= len;
}

/* For tokens nobody attached (copy mode): claimed for just this write. */
static int ivpci_move_unattached(struct ivpci *ivpci, u64 token, bool signal, u32 offset,
				 const void *data, u32 size)
{
	u32 *claim =
		ivpci_claim(ivpci, ivpci->slot, ivpci_token_slot(token), ivpci_token_index(token));
	bool held;
	void *addr;
	u32 len;
	int rc;

	spin_lock_bh(&ivpci->attach_lock);
	held = READ_ONCE(*claim); /* by a detached attachment in its grace period */
	rc = ivpci_claim_take(ivpci, token, &addr, &len);
	if (rc)
		goto unlock;
	if (ivpci_fits(offset, size, len))
		ivpci_write(addr + offset, data, size);
	else
		rc = -EINVAL;
	if (!held)
		ivpci_claim_drop(ivpci, token);
	if (!rc && !signal)
		ivpci_add(ivpci, IVPCI_BYTES_SENT, size);
unlock:
	spin_unlock_bh(&ivpci->attach_lock);
	return rc;
}

static int ivpci_move_attached(struct ivpci *ivpci, struct ivpci_attachment *a, bool signal,
			       u32 offset, const void *data, u32 size)
{
	if (!ivpci_fits(offset, size, a->len))
		return -EINVAL;
	/* the payload SMC stored before, then the cursor that tells of it */
	virt_wmb();
	ivpci_write(a->addr + offset, data, size);
	if (!signal)
		ivpci_add(ivpci, IVPCI_BYTES_SENT, size);
	else if (!offset && size == IVPCI_CDC_SIZE)
		ivpci_count_payload(ivpci, a, data);
	return 0;
}

/**
 * ivpci_move() - write into a peer's DMB and, with @signal, tell the peer
 *
 * Context: any but hard irq.
 * Return: 0; else the DMB is gone or was never ours to write, and nothing was written
 */
int ivpci_move(struct ivpci *ivpci, u64 token, bool signal, u32 offset, const void *data, u32 size)
{
	struct ivpci_attachment *a;
	int rc;

	if (!ivpci_token_plausible(ivpci, token)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
		return -EINVAL;
	}

	rcu_read_lock();
	a = rcu_dereference(*ivpci_attachment_slot(ivpci, token));
	if (a && a->token == token)
		rc = ivpci_move_attached(ivpci, a, signal, offset, data, size);
	else
		rc = ivpci_move_unattached(ivpci, token, signal, offset, data, size);
	rcu_read_unlock();
	trace_ivpci_move(ivpci->number, token, offset, size, signal, rc);

	if (rc)
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
	else if (signal)
		ivpci_signal(ivpci, ivpci_token_slot(token), ivpci_token_index(token));
	return rc;
}

int ivpci_attach_init(struct ivpci *ivpci)
{
	spin_lock_init(&ivpci->attach_lock);
	ivpci->attachments = kvcalloc((ivpci->layout.slots + 1) * IVPCI_DMBS,
				      sizeof(*ivpci->attachments), GFP_KERNEL);
	return ivpci->attachments ? 0 : -ENOMEM;
}

void ivpci_attach_exit(struct ivpci *ivpci)
{
	WARN_ON(atomic_read(&ivpci->nr_attachments));
	rcu_barrier(); /* ivpci_attachment_release() */
	kvfree(ivpci->attachments);
}
