/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR Apache-2.0 */
/*
 * /dev/ivpciN: what ivpci.ko offers the agent of its guest.
 *
 * open    many readers; the first who maps the bulletin for writing owns it (EBUSY for
 *         others). When the owner's file is closed the driver empties the bulletin.
 * mmap    offset IVPCI_MMAP_BULLETIN: the guest's own bulletin, read-write
 *         offset IVPCI_MMAP_REGION + x: the region from byte x on, read-only, headers and
 *         slot areas (bytes below chunk_off) only
 * poll    EPOLLPRI once after every change of membership or of a peer's bulletin;
 *         EPOLLHUP when the device is gone
 * ioctl   below; errors are errno's usual ones
 *
 * Structures grow at their end. The size is part of the ioctl number, and the driver answers
 * in the caller's size: what only one of the two knows is left out, or zero.
 */
#ifndef IVPCI_UAPI_H
#define IVPCI_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define IVPCI_MMAP_BULLETIN 0ULL
#define IVPCI_MMAP_REGION   (1ULL << 40)

struct ivpci_info {
	__u32 version; /* IVPCI_SHM_VERSION */
	__u32 slot;
	__u32 slots;
	__u32 generation; /* 0: not joined yet (no broker answered) */
	__u64 gid;	  /* 0: not joined yet */
	__u64 size;	  /* bytes of the region */
	__u8 uuid[16];	  /* of the region */
	__u32 vectors;
	__u16 fabric_id;
	__u16 reserved;
};

/* Counters since the driver was bound, except where marked "now". */
struct ivpci_stats {
	__u64 dmbs;	   /* now: registered */
	__u64 dmbs_parked; /* now: withdrawn, memory still claimed by the writer */
	__u64 dmb_bytes;   /* now: memory of both */
	__u64 chunks;	   /* now: leased */
	__u64 attachments; /* now: peers' DMBs mapped as send buffers */
	__u64 registered;
	__u64 refused_full;  /* register_dmb: no chunk left in the region, says the broker */
	__u64 refused_index; /* register_dmb: all IVPCI_DMBS descriptors taken */
	__u64 refused_peer;  /* register_dmb, move_data, attach_dmb: no such live peer or DMB */
	__u64 bytes_sent;    /* payload, both copy modes */
	__u64 signals_sent;  /* notifications written into rings */
	__u64 doorbells_sent;
	__u64 doorbells_skipped; /* receiver was looking already */
	__u64 ring_overflows;
	__u64 interrupts;
	__u64 signals_received;
	__u64 full_scans;
	__u64 events_sent;
	__u64 events_received;
	__u64 peers_lost;
	__u64 polls;	       /* looks without an interrupt */
	__u64 poll_hits;       /* of these, found something: a doorbell saved */
	__u64 poll_ns;	       /* time spent looking */
	__u64 refused_broker;  /* register_dmb: no chunk left, and the broker does not answer */
	__u64 refused_memory;  /* register_dmb, attach_dmb: this kernel has no memory for it */
	__u64 refused_header;  /* register_dmb, query: the header cannot be believed */
	__u64 header_tampered; /* times a member was found to have written into the header */
	__u64 peers_silent;    /* times connections with a peer ended because it stood still */
	__u64 poll_rests; /* times that looking was given up for a while: it found too little */
};

#define IVPCI_IOC_MAGIC 0xB5
#define IVPCI_IOC_INFO	_IOR(IVPCI_IOC_MAGIC, 1, struct ivpci_info)
#define IVPCI_IOC_STATS _IOR(IVPCI_IOC_MAGIC, 2, struct ivpci_stats)
/* The bulletin was changed: tell the peers. Owner of the bulletin only (EPERM). */
#define IVPCI_IOC_PUBLISH _IO(IVPCI_IOC_MAGIC, 3)

#endif /* IVPCI_UAPI_H */
