/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A record ring: one direction of a TCP connection whose bytes go through shared memory
 * (docs/DIRECT.md). It is a DMB of the receiver's, which only the sender's guest may write to besides.
 *
 * A record says where in the stream its bytes are: `tcp_seq` is TCP's next sequence number of the sender
 * when it was published. What the sender sends by TCP later comes after it, what it had sent before
 * comes first. So each send chooses its way, and the receiver merges.
 *
 * Each word has one writer. Positions count bytes of the data area since the ring was made and never
 * wrap; a position's place is its remainder by the area's size. All are multiples of 8. Neither side
 * believes the other: what is read is read once and checked, and a lie ends the connection.
 *
 * Order: a record's bytes, its header, `produced`, a full barrier, `closed` and `watch`. `watch`, a full barrier,
 * `produced`: who is about to sleep is signalled or sees the record. And: `closed`,
 * a full barrier, `produced`, `final`, `final_valid`. So a record is at or before `final`, or its
 * sender sees `closed`, and sends by TCP what lies beyond.
 */
#ifndef IVPCI_RING_ABI_H
#define IVPCI_RING_ABI_H

#include <linux/types.h>

/* Another one with each change of what is below. */
#define IVPCI_RECORDS_MAGIC 0x32636572 /* "rec2" */

/* How far a record may be ahead of what TCP has acknowledged. */
#define IVPCI_RECORDS_AHEAD (16U << 20)

struct ivpci_records {
	/* the sender's cache lines */
	__u64 produced;	 /* end of the last record */
	__u32 want_room; /* another value than before: to be signalled when half is free */
	__u8 unused0[116];

	/* the receiver's */
	__u64 consumed; /* end of the last record that is read to its end */
	__u64 final;	/* of `produced`: what lies beyond is not read here */
	__u32 closed;	/* nothing more is read here but up to `final` */
	__u32 final_valid;
	__u32 watch; /* another value than before: the next record is signalled, and no other is */
	__u32 magic; /* there from the beginning */
	__u8 unused1[96];

	/* data area, up to the end of the DMB: 16 KiB << n in all, 1 MiB at most */
};

struct ivpci_record {
	__u32 len; /* bytes that follow, filled up to a multiple of 8; not 0 */
	__u32 tcp_seq;
};

#define IVPCI_RECORDS_DATA sizeof(struct ivpci_records)

#endif
