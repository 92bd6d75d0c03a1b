/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The notification ring of an ordered pair, both ends. Pure but for the accessors, which
 * a userspace build defines for itself (READ_ONCE, WRITE_ONCE, smp_store_release,
 * smp_load_acquire).
 *
 * The producer must not be told "full" by a receiver that lies about its tail, nor the
 * receiver "a million entries" by a producer that lies about its head: a distance larger
 * than the ring is answered with "serve all".
 */
#ifndef IVPCI_RING_H
#define IVPCI_RING_H

#include <ivpci/shm_abi.h>

/* Returns false when the ring was full: the receiver is made to serve every DMB then. */
static inline bool ivpci_ring_push(struct ivpci_pair *pair, const __u32 *receivers_tail,
				   __u32 index)
{
	__u32 head = READ_ONCE(pair->head); /* our own word, but others can write there */

	if (head - READ_ONCE(*receivers_tail) >= IVPCI_RING_SIZE) {
		WRITE_ONCE(pair->overflow, READ_ONCE(pair->overflow) + 1);
		return false;
	}
	WRITE_ONCE(pair->index[head % IVPCI_RING_SIZE], index);
	smp_store_release(&pair->head, head + 1);
	return true;
}

struct ivpci_ring_view {
	__u32 from, to; /* entries to serve: [from, to), free running */
	__u32 overflow;
	bool serve_all;
};

/* What there is to serve. Afterwards ivpci_ring_served() moves our tail. */
static inline struct ivpci_ring_view ivpci_ring_look(const struct ivpci_pair *pair,
						     const __u32 *tail, const __u32 *overflow_seen)
{
	struct ivpci_ring_view view = {
		.from = READ_ONCE(*tail),
		.to = smp_load_acquire(&pair->head),
		.overflow = READ_ONCE(pair->overflow),
		.serve_all = false,
	};

	view.serve_all =
		view.to - view.from > IVPCI_RING_SIZE || view.overflow != READ_ONCE(*overflow_seen);
	/* all of them are served: no need for the entries */
	if (view.serve_all)
		view.from = view.to;
	return view;
}

/* Leaves what is more than @most to the next look. */
static inline void ivpci_ring_limit(struct ivpci_ring_view *view, __u32 most)
{
	if (view->to - view->from > most)
		view->to = view->from + most;
}

static inline bool ivpci_ring_idle(const struct ivpci_ring_view *view)
{
	return view->from == view->to && !view->serve_all;
}

static inline void ivpci_ring_served(const struct ivpci_ring_view *view, __u32 *tail,
				     __u32 *overflow_seen)
{
	WRITE_ONCE(*overflow_seen, view->overflow);
	/* entries were read before the producer may overwrite them */
	smp_store_release(tail, view->to);
}

#endif
