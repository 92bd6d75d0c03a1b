/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A chunk's allocation map: one bit for each of its 64 units, set when taken. Runs are
 * 2^n units, naturally aligned, so that freeing needs no search and nothing fragments
 * below its own size. Pure: no locks, no kernel.
 */
#ifndef IVPCI_ALLOC_H
#define IVPCI_ALLOC_H

#include <ivpci/shm_abi.h>

#define IVPCI_CHUNK_ORDER 6 /* log2(IVPCI_UNITS_PER_CHUNK) */

static inline __u64 ivpci_run_mask(unsigned int order)
{
	return order >= IVPCI_CHUNK_ORDER ? ~0ULL : (1ULL << (1u << order)) - 1;
}

/* One bit for each free run of 2^order units, at its first unit. */
static inline __u64 ivpci_runs_free(__u64 map, unsigned int order)
{
	__u64 aligned = ~0ULL / ivpci_run_mask(order);
	__u64 free = ~map;
	unsigned int n;

	for (n = 0; n < order; n++)
		free &= free >> (1u << n);
	return free & aligned;
}

/* Takes a run of 2^order units; returns its first unit, or -1 when there is none. */
static inline int ivpci_run_take(__u64 *map, unsigned int order)
{
	__u64 runs = ivpci_runs_free(*map, order);
	int unit;

	if (!runs)
		return -1;
	unit = __builtin_ctzll(runs);
	*map |= ivpci_run_mask(order) << unit;
	return unit;
}

/* log2 of the largest free run, or -1 when nothing is free. */
static inline int ivpci_run_largest(__u64 map)
{
	int order = IVPCI_CHUNK_ORDER;

	while (order >= 0 && !ivpci_runs_free(map, order))
		order--;
	return order;
}

static inline void ivpci_run_give(__u64 *map, unsigned int unit, unsigned int order)
{
	*map &= ~(ivpci_run_mask(order) << unit);
}

/* log2 of the units a DMB of len bytes takes, or -1 if no DMB has that length. */
static inline int ivpci_dmb_order(__u64 len)
{
	int order;

	for (order = 0; order <= IVPCI_CHUNK_ORDER; order++)
		if (len == (__u64)IVPCI_DMB_UNIT << order)
			return order;
	return -1;
}

#endif
