// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our own DMBs: memory from chunks the broker leased to us, described in our area, kept
 * aside after their end for as long as somebody may still touch them.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "ivpci.h"
#include "ivpci_order.h"
#include "ivpci_trace.h"

/* Empty chunks kept ready, so that a new connection does not wait for the broker, and
 * kept back, so that others can have the rest.
 */
#define IVPCI_SPARE_MIN 2
#define IVPCI_SPARE_MAX 8

static void *ivpci_dmb_addr(struct ivpci *ivpci, u64 offset)
{
	return ivpci->shm + offset;
}

static bool ivpci_chunk_ours(struct ivpci *ivpci, u32 number)
{
	return ivpci_leaseholder(ivpci, number) == ivpci_lease(ivpci->slot, ivpci->generation);
}

/* Puts a chunk where ivpci_run_alloc() looks for it, after its map or `returning` changed. */
static void ivpci_chunk_place(struct ivpci *ivpci, struct ivpci_chunk *chunk)
{
	int order = chunk->returning ? -1 : ivpci_run_largest(chunk->map);

	list_del_init(&chunk->room);
	if (order >= 0)
		list_add(&chunk->room, &ivpci->room[order]);
}

/* -ENOMEM: it stays leased, and is seen again next time. */
static int ivpci_chunk_add(struct ivpci *ivpci, u32 number)
{
	struct ivpci_chunk *chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	int rc;

	if (!chunk)
		return -ENOMEM;
	chunk->number = number;
	INIT_LIST_HEAD(&chunk->room);
	rc = xa_err(xa_store(&ivpci->chunks, number, chunk, GFP_KERNEL));
	if (rc) {
		kfree(chunk);
		return rc;
	}
	ivpci->nr_chunks++;
	ivpci_chunk_place(ivpci, chunk);
	return 0;
}

static void ivpci_chunk_del(struct ivpci *ivpci, struct ivpci_chunk *chunk)
{
	list_del(&chunk->room);
	xa_erase(&ivpci->chunks, chunk->number);
	ivpci->nr_chunks--;
	kfree(chunk);
}

/* Makes our chunks what the broker's lease table says. Others write there, too: what is not ours (any more)
 * goes when nothing of ours is in it, and comes again if that was the lie. -ENOMEM: not quite.
 */
static int ivpci_chunks_refresh(struct ivpci *ivpci)
{
	struct ivpci_chunk *chunk;
	unsigned long known;
	u32 number;
	int rc;

	lockdep_assert_held(&ivpci->dmb_lock);

	xa_for_each(&ivpci->chunks, known, chunk)
	{
		if (!chunk->map && !ivpci_chunk_ours(ivpci, chunk->number))
			ivpci_chunk_del(ivpci, chunk);
	}

	for (number = 0; number < ivpci->layout.chunks; number++) {
		if (!ivpci_chunk_ours(ivpci, number) || xa_load(&ivpci->chunks, number))
			continue;
		rc = ivpci_chunk_add(ivpci, number);
		if (rc)
			return rc;
	}
	return 0;
}

/* The chunk that has the least to lose: the whole ones stay whole, and can go back. It is asked again whose
 * it is: what we were told may have been a lie, and the caller zeroes what it gets.
 */
static struct ivpci_chunk *ivpci_chunk_with_room(struct ivpci *ivpci, int order)
{
	struct ivpci_chunk *chunk;
	int room;

	for (room = order; room <= IVPCI_CHUNK_ORDER; room++)
		list_for_each_entry(chunk, &ivpci->room[room], room)
			if (ivpci_chunk_ours(ivpci, chunk->number))
				return chunk;
	return NULL;
}

static bool ivpci_run_alloc(struct ivpci *ivpci, int order, u64 *offset)
{
	struct ivpci_chunk *chunk = ivpci_chunk_with_room(ivpci, order);
	int unit;

	if (!chunk)
		return false;
	unit = ivpci_run_take(&chunk->map, order);
	ivpci_chunk_place(ivpci, chunk);
	*offset = ivpci->layout.chunk_off + (u64)chunk->number * IVPCI_CHUNK_SIZE +
		  (u64)unit * IVPCI_DMB_UNIT;
	return true;
}

static void ivpci_run_free(struct ivpci *ivpci, u64 offset, u32 len)
{
	u64 in_chunks = offset - ivpci->layout.chunk_off;
	struct ivpci_chunk *chunk;

	chunk = xa_load(&ivpci->chunks, in_chunks / IVPCI_CHUNK_SIZE);
	if (!chunk)
		return;
	ivpci_run_give(&chunk->map, in_chunks % IVPCI_CHUNK_SIZE / IVPCI_DMB_UNIT,
		       ivpci_dmb_order(len));
	ivpci_chunk_place(ivpci, chunk);
}

/* A claim of a generation that is gone counts for nothing. */
static bool ivpci_dmb_claimed(struct ivpci *ivpci, struct ivpci_dmb *dmb)
{
	u32 index = ivpci_token_index(dmb->token);
	u32 claim = READ_ONCE(*ivpci_claim(ivpci, dmb->parked_writer, ivpci->slot, index));

	return claim == ivpci_token_serial(dmb->token) &&
	       ivpci_peer_generation(ivpci, dmb->parked_writer) == dmb->writer_generation;
}

/* A pipe may still hold a page (splice). References to any page of a chunk count at its first: what
 * another DMB there lent keeps this one, too.
 */
static bool ivpci_dmb_piped(struct ivpci *ivpci, struct ivpci_dmb *dmb)
{
	return page_ref_count(virt_to_head_page(ivpci_dmb_addr(ivpci, dmb->offset))) > 1;
}

static bool ivpci_dmb_busy(struct ivpci *ivpci, struct ivpci_dmb *dmb)
{
	return ivpci_dmb_piped(ivpci, dmb) || ivpci_dmb_claimed(ivpci, dmb);
}

static void ivpci_dmb_free(struct ivpci *ivpci, struct ivpci_dmb *dmb)
{
	u32 index = ivpci_token_index(dmb->token);

	ivpci_run_free(ivpci, dmb->offset, dmb->len);
	ivpci->dmb_bytes -= dmb->len;
	dmb->token = 0;
	clear_bit(index, ivpci->dmb_used);
}

static void ivpci_parked_free(struct ivpci *ivpci, struct ivpci_dmb *dmb)
{
	list_del_init(&dmb->parked);
	ivpci->nr_parked--;
	ivpci_dmb_free(ivpci, dmb);
}

static void ivpci_parked_reclaim(struct ivpci *ivpci)
{
	struct ivpci_dmb *dmb, *next;

	list_for_each_entry_safe(dmb, next, &ivpci->parked, parked)
		if (!ivpci_dmb_busy(ivpci, dmb))
			ivpci_parked_free(ivpci, dmb);
}

static int ivpci_memory_get(struct ivpci *ivpci, int order, u64 *offset)
{
	int asked, seen;

	if (ivpci_run_alloc(ivpci, order, offset))
		return 0;
	ivpci_parked_reclaim(ivpci);
	if (ivpci_run_alloc(ivpci, order, offset))
		return 0;
	asked = ivpci_request(ivpci, IVPCI_OP_LEASE, 1);
	seen = ivpci_chunks_refresh(ivpci);
	if (ivpci_run_alloc(ivpci, order, offset))
		return 0;
	ivpci_inc(ivpci, seen		       ? IVPCI_REFUSED_MEMORY
			 : asked == -ETIMEDOUT ? IVPCI_REFUSED_BROKER
					       : IVPCI_REFUSED_FULL);
	return -ENOSPC;
}

/* What its writer is told of a DMB. */
static void ivpci_desc_write(struct ivpci *ivpci, const struct ivpci_dmb *dmb)
{
	struct ivpci_dmb_desc *desc =
		ivpci_desc(ivpci, ivpci->slot, ivpci_token_index(dmb->token));

	WRITE_ONCE(desc->offset, dmb->offset);
	WRITE_ONCE(desc->len, dmb->len);
	WRITE_ONCE(desc->writer, dmb->writer);
	WRITE_ONCE(desc->writer_generation, dmb->writer_generation);
	smp_store_release(&desc->token, dmb->token);
}

/* Others can write there, too, and SMC uses a DMB for one connection after the other: each of them would be TCP. */
static void ivpci_descs_restore(struct ivpci *ivpci)
{
	u32 index;

	lockdep_assert_held(&ivpci->dmb_lock);

	for_each_set_bit(index, ivpci->dmb_used, IVPCI_DMBS)
		if (ivpci->dmbs[index].writer)
			ivpci_desc_write(ivpci, &ivpci->dmbs[index]);
}

static u32 ivpci_next_serial(struct ivpci *ivpci)
{
	if (!++ivpci->serial)
		ivpci->serial = 1; /* 0 means "no claim" */
	return ivpci->serial;
}

/**
 * ivpci_dmb_register() - take memory for a DMB and describe it to its writer
 * @writer: slot of the only guest that may write into it
 * @len: bytes, IVPCI_DMB_UNIT << n
 * @dmb: out: token, offset and len are valid
 * @addr: out: its memory, zeroed (a stale CDC header would end the next connection)
 *
 * Context: process, sleeps.
 * Return: 0, -EINVAL (no such length), -ENETUNREACH (no such peer), -ENOSPC
 */
int ivpci_dmb_register(struct ivpci *ivpci, u32 writer, u32 len, struct ivpci_dmb *dmb, void **addr)
{
	int order = ivpci_dmb_order(len);
	u32 index, generation;
	u64 offset;
	int rc;

	if (order < 0)
		return -EINVAL;

	mutex_lock(&ivpci->dmb_lock);
	generation = ivpci_peer_generation(ivpci, writer);
	/* who has seen that none is left sees none made afterwards */
	if (!generation || !ivpci_may_begin(ivpci)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
		rc = -ENETUNREACH;
		goto unlock;
	}
	/* index 0 is "any" in dibs_dmb.idx */
	index = find_next_zero_bit(ivpci->dmb_used, IVPCI_DMBS, 1);
	if (index >= IVPCI_DMBS) {
		ivpci_inc(ivpci, IVPCI_REFUSED_INDEX);
		rc = -ENOSPC;
		goto unlock;
	}
	rc = ivpci_memory_get(ivpci, order, &offset);
	if (rc)
		goto unlock;

	*addr = ivpci_dmb_addr(ivpci, offset);
	memset(*addr, 0, len);
	*dmb = (struct ivpci_dmb){
		.token = ivpci_token(ivpci_next_serial(ivpci), ivpci->slot, index),
		.offset = offset,
		.len = len,
		.writer = writer,
		.parked_writer = writer,
		.writer_generation = generation,
	};
	ivpci->dmbs[index] = *dmb;
	INIT_LIST_HEAD(&ivpci->dmbs[index].parked);
	set_bit(index, ivpci->dmb_used);
	ivpci->nr_dmbs++;
	ivpci->dmb_bytes += len;

	ivpci_desc_write(ivpci, dmb);
	ivpci_inc(ivpci, IVPCI_REGISTERED);
	trace_ivpci_register(ivpci->number, dmb->token, writer, len);
unlock:
	mutex_unlock(&ivpci->dmb_lock);
	return rc;
}

/**
 * ivpci_dmb_unregister() - withdraw a DMB; its memory is free once nobody may touch it
 *
 * Context: process, sleeps.
 * Return: 0, -EINVAL (no such DMB)
 */
int ivpci_dmb_unregister(struct ivpci *ivpci, u64 token)
{
	u32 index = ivpci_token_index(token);
	struct ivpci_dmb *dmb;
	int rc = -EINVAL;

	if (index >= IVPCI_DMBS)
		return rc;

	mutex_lock(&ivpci->dmb_lock);
	dmb = &ivpci->dmbs[index];
	if (dmb->token != token || !dmb->writer)
		goto unlock;

	trace_ivpci_unregister(ivpci->number, token, dmb->writer, dmb->len);
	WRITE_ONCE(dmb->writer, 0);
	/* Withdrawn before the claim is looked at; pairs with ivpci_claim_take(). */
	ivpci_desc_withdraw(ivpci_desc(ivpci, ivpci->slot, index));
	ivpci->nr_dmbs--;
	if (ivpci_dmb_busy(ivpci, dmb)) {
		list_add_tail(&dmb->parked, &ivpci->parked);
		ivpci->nr_parked++;
	} else {
		ivpci_dmb_free(ivpci, dmb);
	}
	rc = 0;
unlock:
	mutex_unlock(&ivpci->dmb_lock);
	return rc;
}

/* Offers an empty chunk back. It is gone from our list when it is gone from the broker's. */
static void ivpci_chunk_return(struct ivpci *ivpci, struct ivpci_chunk *chunk)
{
	chunk->returning = true;
	ivpci_chunk_place(ivpci, chunk);
	ivpci_request(ivpci, IVPCI_OP_RETURN, chunk->number);
}

/* Asks for chunks when few are empty, offers some back when many are. */
static void ivpci_chunks_balance(struct ivpci *ivpci)
{
	struct ivpci_chunk *chunk;
	unsigned int spare = 0;
	unsigned long number;

	xa_for_each(&ivpci->chunks, number, chunk)
	{
		if (chunk->returning)
			ivpci_chunk_return(ivpci, chunk); /* the answer was lost: again */
		else if (!chunk->map && ++spare > IVPCI_SPARE_MAX)
			ivpci_chunk_return(ivpci, chunk);
	}
	if (spare < IVPCI_SPARE_MIN)
		ivpci_request(ivpci, IVPCI_OP_LEASE, IVPCI_SPARE_MIN - spare);
}

/* Called about once a second and on membership changes, when joined. */
void ivpci_dmb_housekeeping(struct ivpci *ivpci)
{
	mutex_lock(&ivpci->dmb_lock);
	ivpci_descs_restore(ivpci);
	ivpci_parked_reclaim(ivpci);
	ivpci_chunks_refresh(ivpci);
	/* what we are given is not seen where our generation is a lie */
	if (ivpci_header_trusted(ivpci) && ivpci_may_ask(ivpci))
		ivpci_chunks_balance(ivpci);
	ivpci_chunks_refresh(ivpci);
	mutex_unlock(&ivpci->dmb_lock);
}

/* True when this guest uses no DMB any more. Claims do not count: who leaves need not wait for them,
 * since its leases stay condemned until the broker sees them gone.
 */
bool ivpci_dmb_all_returned(struct ivpci *ivpci)
{
	struct ivpci_dmb *dmb;
	bool none;

	mutex_lock(&ivpci->dmb_lock);
	none = !ivpci->nr_dmbs;
	list_for_each_entry(dmb, &ivpci->parked, parked)
		none &= !ivpci_dmb_piped(ivpci, dmb);
	mutex_unlock(&ivpci->dmb_lock);
	return none;
}

/* What is kept aside is so no more: the caller is about to forget the chunks, too. */
void ivpci_dmb_abandon(struct ivpci *ivpci)
{
	struct ivpci_dmb *dmb, *next;

	mutex_lock(&ivpci->dmb_lock);
	list_for_each_entry_safe(dmb, next, &ivpci->parked, parked)
		ivpci_parked_free(ivpci, dmb);
	mutex_unlock(&ivpci->dmb_lock);
}

/* We are no member any more (or a new one): the chunks are not ours, or not for long. */
void ivpci_dmb_forget(struct ivpci *ivpci)
{
	struct ivpci_chunk *chunk;
	unsigned long number;

	mutex_lock(&ivpci->dmb_lock);
	xa_for_each(&ivpci->chunks, number, chunk) ivpci_chunk_del(ivpci, chunk);
	mutex_unlock(&ivpci->dmb_lock);
}

int ivpci_dmb_init(struct ivpci *ivpci)
{
	int order;

	mutex_init(&ivpci->dmb_lock);
	xa_init(&ivpci->chunks);
	for (order = 0; order <= IVPCI_CHUNK_ORDER; order++)
		INIT_LIST_HEAD(&ivpci->room[order]);
	INIT_LIST_HEAD(&ivpci->parked);
	ivpci->serial = get_random_u32();

	ivpci->dmbs = kvcalloc(IVPCI_DMBS, sizeof(*ivpci->dmbs), GFP_KERNEL);
	if (!ivpci->dmbs)
		return -ENOMEM;
	ivpci->dmb_used = bitmap_zalloc(IVPCI_DMBS, GFP_KERNEL);
	if (!ivpci->dmb_used) {
		kvfree(ivpci->dmbs);
		return -ENOMEM;
	}
	return 0;
}

void ivpci_dmb_exit(struct ivpci *ivpci)
{
	ivpci_dmb_forget(ivpci);
	xa_destroy(&ivpci->chunks);
	bitmap_free(ivpci->dmb_used);
	kvfree(ivpci->dmbs);
}
