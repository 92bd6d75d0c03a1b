// SPDX-License-Identifier: GPL-2.0-only
/*
 * Peers' DMBs: claiming them, mapping them as send buffers, writing into them.
 *
 * A claim word is set before the descriptor is trusted and cleared a grace period after
 * the last user went, since ivpci_move() reads attachments under RCU alone. All claim
 * words are written under attach_lock, and none is read: they are in the shared memory, and what
 * we hold is what `attachments` says.
 */
#include <linux/nospec.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "ivpci.h"
#include "ivpci_order.h"
#include "ivpci_trace.h"

/* Bounds every field of a token that came from a peer, also for what runs ahead of the check. */
static bool ivpci_token_plausible(struct ivpci *ivpci, u64 *token)
{
	u32 slot = ivpci_token_slot(*token), index = ivpci_token_index(*token);
	u32 serial = ivpci_token_serial(*token);

	if (!slot || slot > ivpci->layout.slots || slot == ivpci->slot || index >= IVPCI_DMBS ||
	    !serial)
		return false;
	*token = ivpci_token(serial, array_index_nospec(slot, ivpci->layout.slots + 1),
			     array_index_nospec(index, IVPCI_DMBS));
	return true;
}

/* These are for plausible tokens. */
static struct ivpci_attachment __rcu **ivpci_attachment_slot(struct ivpci *ivpci, u64 token)
{
	return &ivpci->attachments[ivpci_token_slot(token) * IVPCI_DMBS + ivpci_token_index(token)];
}

static struct ivpci_attachment *ivpci_attachment_locked(struct ivpci *ivpci, u64 token)
{
	return rcu_dereference_protected(*ivpci_attachment_slot(ivpci, token),
					 lockdep_is_held(&ivpci->attach_lock));
}

/* The attachment in use that SMC calls @given, NULL: none. What a name means was settled by the first
 * ivpci_attach() and stays so, whatever the peer says meanwhile. RCU or attach_lock held.
 */
static struct ivpci_attachment *ivpci_attachment_named(struct ivpci *ivpci, u64 given,
						       bool *reversed)
{
	struct ivpci_attachment *a;
	u64 token = given;
	int i;

	for (i = 0; i < 2; i++, token = swab64(given)) {
		if (!ivpci_token_plausible(ivpci, &token))
			continue;
		a = rcu_dereference_check(*ivpci_attachment_slot(ivpci, token),
					  lockdep_is_held(&ivpci->attach_lock));
		if (a && a->token == token && READ_ONCE(a->users.by[i])) {
			*reversed = i;
			return a;
		}
	}
	return NULL;
}

static bool ivpci_token_described(struct ivpci *ivpci, u64 token)
{
	struct ivpci_dmb_desc *desc;

	if (!ivpci_token_plausible(ivpci, &token))
		return false;
	desc = ivpci_desc(ivpci, ivpci_token_slot(token), ivpci_token_index(token));
	return READ_ONCE(desc->token) == token;
}

/* A token as its owner means it. SMC of 6.1 on x86 puts tokens into its CLC messages as they are in
 * memory, newer ones turn them into network order: between the two they arrive with their bytes
 * reversed. Descriptors hold tokens in full, so they tell which way is right.
 */
static u64 ivpci_token_from_peer(struct ivpci *ivpci, u64 given)
{
	u64 reversed = swab64(given);

	if (!ivpci_token_described(ivpci, given) && ivpci_token_described(ivpci, reversed))
		return reversed;
	return given;
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
	u32 chunk;

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
	chunk = array_index_nospec(in_chunks / IVPCI_CHUNK_SIZE, l->chunks);
	if (ivpci_leaseholder(ivpci, chunk) != ivpci_lease(slot, generation))
		return -EACCES;
	*addr = ivpci->shm + offset;
	return 0;
}

/* Claims, then looks. Pairs with the barrier in ivpci_dmb_unregister(): either the owner
 * sees our claim, or we see its withdrawal. @held: the claim is there already, and stays.
 */
static int ivpci_claim_take(struct ivpci *ivpci, u64 token, bool held, void **addr, u32 *len)
{
	u32 *claim =
		ivpci_claim(ivpci, ivpci->slot, ivpci_token_slot(token), ivpci_token_index(token));
	int rc;

	lockdep_assert_held(&ivpci->attach_lock);

	ivpci_claim_set(claim, ivpci_token_serial(token));
	rc = ivpci_desc_check(ivpci, token, addr, len);
	if (rc && !held)
		WRITE_ONCE(*claim, 0);
	return rc;
}

static void ivpci_claim_drop(struct ivpci *ivpci, u64 token)
{
	/* after all our writes into the DMB */
	smp_store_release(
		ivpci_claim(ivpci, ivpci->slot, ivpci_token_slot(token), ivpci_token_index(token)),
		0);
}

/* Finds or makes the attachment of a plausible token. *fresh is NULL if it was used for that. */
static int ivpci_attachment_get(struct ivpci *ivpci, u64 token, struct ivpci_attachment **fresh,
				struct ivpci_attachment **out)
{
	struct ivpci_attachment *a = ivpci_attachment_locked(ivpci, token);
	void *addr;
	u32 len;
	int rc;

	if (!ivpci_may_begin(ivpci))
		return -ENETDOWN;
	if (a && a->token != token)
		return -EBUSY; /* the former DMB of this index is not let go yet */
	if (!a || !ivpci_used(&a->users)) {
		rc = ivpci_claim_take(ivpci, token, a, &addr, &len);
		if (rc)
			return rc;
	}
	if (!a) {
		swap(a, *fresh);
		a->ivpci = ivpci;
		a->token = token;
		a->addr = addr;
		a->len = len;
		rcu_assign_pointer(*ivpci_attachment_slot(ivpci, token), a);
	} else if (!ivpci_used(&a->users) && (a->addr != addr || a->len != len)) {
		return -EBUSY; /* who still reads it has the former place */
	}
	if (!ivpci_used(&a->users))
		atomic_inc(&ivpci->nr_attachments);
	*out = a;
	return 0;
}

/**
 * ivpci_attach() - map a peer's DMB as a send buffer
 * @given: the token as SMC has it from the peer
 * @dmb: out: token and len are valid
 * @addr: out: its memory
 *
 * May be called again for the same token: connections that follow each other on one DMB
 * overlap here.
 * Context: process.
 * Return: 0, or why the DMB cannot be had
 */
int ivpci_attach(struct ivpci *ivpci, u64 given, struct ivpci_dmb *dmb, void **addr)
{
	struct ivpci_attachment *a, *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
	bool reversed;
	int rc = 0;
	u64 token;

	if (!fresh)
		return -ENOMEM;

	spin_lock_bh(&ivpci->attach_lock);
	a = ivpci_attachment_named(ivpci, given, &reversed);
	token = a ? a->token : ivpci_token_from_peer(ivpci, given);
	if (!a) {
		reversed = token != given;
		rc = ivpci_token_plausible(ivpci, &token)
			     ? ivpci_attachment_get(ivpci, token, &fresh, &a)
			     : -EINVAL;
	}
	if (!rc) {
		ivpci_use(&a->users, reversed);
		a->count = 0;
		a->wrap = 0;
		dmb->token = token;
		dmb->len = a->len;
		*addr = a->addr;
	}
	spin_unlock_bh(&ivpci->attach_lock);
	trace_ivpci_attach(ivpci->number, token, rc);
	if (rc)
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
	kfree(fresh);
	return rc;
}

/* A grace period after the last user went, or later: it may be in use again, or have been. */
static void ivpci_attachment_release(struct rcu_head *rcu)
{
	struct ivpci_attachment *a = container_of(rcu, struct ivpci_attachment, rcu);
	struct ivpci *ivpci = a->ivpci;
	enum ivpci_grace grace;

	spin_lock_bh(&ivpci->attach_lock);
	grace = ivpci_grace_passed(&a->users);
	if (grace == IVPCI_GRACE_AGAIN) {
		call_rcu(&a->rcu, ivpci_attachment_release);
	} else if (grace == IVPCI_GRACE_OVER) {
		RCU_INIT_POINTER(*ivpci_attachment_slot(ivpci, a->token), NULL);
		ivpci_claim_drop(ivpci, a->token);
	}
	spin_unlock_bh(&ivpci->attach_lock);
	/* somebody may just have found it, and that nobody uses it */
	if (grace == IVPCI_GRACE_OVER)
		kfree_rcu(a, rcu);
}

/**
 * ivpci_detach() - one user of a send buffer less
 * @given: as in ivpci_attach()
 *
 * Context: any but hard irq.
 * Return: 0, -EINVAL (not attached)
 */
int ivpci_detach(struct ivpci *ivpci, u64 given)
{
	struct ivpci_attachment *a;
	bool reversed;
	int rc = 0;

	spin_lock_bh(&ivpci->attach_lock);
	a = ivpci_attachment_named(ivpci, given, &reversed);
	if (!a) {
		rc = -EINVAL;
		goto unlock;
	}
	if (ivpci_unuse(&a->users, reversed))
		call_rcu(&a->rcu, ivpci_attachment_release);
	if (!ivpci_used(&a->users))
		atomic_dec(&ivpci->nr_attachments);
unlock:
	spin_unlock_bh(&ivpci->attach_lock);
	trace_ivpci_detach(ivpci->number, given, rc);
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
	struct ivpci_attachment *a;
	void *addr;
	u32 len;
	int rc;

	spin_lock_bh(&ivpci->attach_lock);
	/* detached, in its grace period: the claim is there, and stays */
	a = ivpci_attachment_locked(ivpci, token);
	rc = a && a->token != token ? -EBUSY : ivpci_claim_take(ivpci, token, a, &addr, &len);
	if (rc)
		goto unlock;
	if (ivpci_fits(offset, size, len))
		ivpci_write(addr + offset, data, size);
	else
		rc = -EINVAL;
	if (!a)
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
 * @given: the token as SMC has it from the peer
 *
 * Context: any but hard irq.
 * Return: 0; else the DMB is gone or was never ours to write, and nothing was written
 */
int ivpci_move(struct ivpci *ivpci, u64 given, bool signal, u32 offset, const void *data, u32 size)
{
	struct ivpci_attachment *a;
	bool reversed;
	u64 token;
	int rc;

	rcu_read_lock();
	a = ivpci_attachment_named(ivpci, given, &reversed);
	if (a) {
		token = a->token;
		rc = ivpci_move_attached(ivpci, a, signal, offset, data, size);
	} else {
		token = ivpci_token_from_peer(ivpci, given);
		rc = ivpci_token_plausible(ivpci, &token)
			     ? ivpci_move_unattached(ivpci, token, signal, offset, data, size)
			     : -EINVAL;
	}
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

/* True when nothing is attached and no claim of ours stands any more. The caller has seen to it that
 * nothing is attached anew.
 */
bool ivpci_attach_settled(struct ivpci *ivpci)
{
	bool any;

	/* after who was told that we are open */
	spin_lock_bh(&ivpci->attach_lock);
	any = atomic_read(&ivpci->nr_attachments);
	spin_unlock_bh(&ivpci->attach_lock);
	if (any)
		return false;
	/* ivpci_attachment_release(), and once more where it asked for another grace period */
	rcu_barrier();
	rcu_barrier();
	return true;
}

void ivpci_attach_exit(struct ivpci *ivpci)
{
	/* callbacks that are under way need what is freed, whatever went wrong */
	if (WARN_ON(!ivpci_attach_settled(ivpci))) {
		rcu_barrier();
		rcu_barrier();
	}
	kvfree(ivpci->attachments);
}
