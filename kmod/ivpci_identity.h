/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The header's words that never change while a region lives: everything before broker_pid.
 * Members map the header writable (QEMU cannot do otherwise), so a driver keeps a copy and
 * compares. Pure but for READ_ONCE(), as ivpci_ring.h.
 */
#ifndef IVPCI_IDENTITY_H
#define IVPCI_IDENTITY_H

#include <ivpci/shm_abi.h>

typedef __u32 __attribute__((may_alias)) ivpci_word;

#define IVPCI_IDENTITY_WORDS \
	(__builtin_offsetof(struct ivpci_header, broker_pid) / sizeof(ivpci_word))

/* Each word is read once: what is checked is what is kept. */
static inline void ivpci_identity_copy(struct ivpci_header *to, const struct ivpci_header *shown)
{
	const ivpci_word *from = (const ivpci_word *)shown;
	ivpci_word *word = (ivpci_word *)to;
	unsigned int i;

	for (i = 0; i < IVPCI_IDENTITY_WORDS; i++)
		word[i] = READ_ONCE(from[i]);
}

static inline const char *ivpci_identity_name(unsigned int offset)
{
#define IVPCI_BEFORE(field) (offset < __builtin_offsetof(struct ivpci_header, field))
	return IVPCI_BEFORE(version)	 ? "magic"
	       : IVPCI_BEFORE(slots)	 ? "version"
	       : IVPCI_BEFORE(uuid)	 ? "slots"
	       : IVPCI_BEFORE(size)	 ? "uuid"
	       : IVPCI_BEFORE(area_off)	 ? "size"
	       : IVPCI_BEFORE(area_size) ? "area_off"
	       : IVPCI_BEFORE(chunk_off) ? "area_size"
	       : IVPCI_BEFORE(chunks)	 ? "chunk_off"
	       : IVPCI_BEFORE(lease_off) ? "chunks"
	       : IVPCI_BEFORE(fabric_id) ? "lease_off"
					 : "fabric_id";
#undef IVPCI_BEFORE
}

/* Name of the first field that is not as it was, or NULL. */
static inline const char *ivpci_identity_differs(const struct ivpci_header *known,
						 const struct ivpci_header *shown)
{
	const ivpci_word *a = (const ivpci_word *)known, *b = (const ivpci_word *)shown;
	unsigned int i;

	for (i = 0; i < IVPCI_IDENTITY_WORDS; i++)
		if (READ_ONCE(b[i]) != a[i])
			return ivpci_identity_name(i * sizeof(ivpci_word));
	return 0;
}

#endif
