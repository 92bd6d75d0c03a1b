/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stores that have to be seen before a load of the same guest is done. Each is one half of "either they
 * see mine, or I see theirs". Barriers are virt_*: they order against another guest even when this one
 * has a single CPU. Pure but for the accessors, as ivpci_ring.h, and virt_mb().
 */
#ifndef IVPCI_ORDER_H
#define IVPCI_ORDER_H

#include <ivpci/shm_abi.h>

/* Doorbells. The producer, after its entry is in the ring. False: ring. */
static inline bool ivpci_receiver_looks(const __u32 *looking)
{
	virt_mb();
	return READ_ONCE(*looking);
}

/* The receiver, before it looks at the rings for the last time. */
static inline void ivpci_stop_looking(__u32 *looking)
{
	WRITE_ONCE(*looking, 0);
	virt_mb();
}

/* DMBs. The writer, before it looks at the descriptor. */
static inline void ivpci_claim_set(__u32 *claim, __u32 serial)
{
	WRITE_ONCE(*claim, serial);
	virt_mb();
}

/* The owner, before it looks at the claim. */
static inline void ivpci_desc_withdraw(struct ivpci_dmb_desc *desc)
{
	WRITE_ONCE(desc->token, 0);
	virt_mb();
}

#endif
