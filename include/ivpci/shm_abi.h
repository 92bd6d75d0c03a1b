/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR Apache-2.0 */
/*
 * The shared memory of a region: who may write which word, and what it means.
 *
 *   0            header          broker   identity, sizes, membership, leases
 *   area_off     area of slot 1  guest 1  control, bulletin, rings, descriptors, claims
 *                area of slot 2  guest 2
 *                ...
 *   chunk_off    chunk 0         the guests that were given DMBs in it
 *                chunk 1 ...
 *
 * Every word outside the chunks has exactly one writer. No read-modify-write ever
 * crosses a virtual machine, so no lock dies with its owner, no atomic is torn by a
 * one-CPU guest, and a hostile member can spoil only words of its own. All words are
 * little-endian and naturally aligned. Everything read is hostile: read once into a
 * local, check the local, bound in 64 bits.
 *
 * Slot numbers are ivshmem peer ids. 0 is the broker, guests are 1..slots: a guest whose
 * IVPosition register reads 0 has no slot.
 *
 * Life of a slot (`state`, broker's word):
 *
 *   EMPTY -> CONNECTED   QEMU connected to the broker
 *   CONNECTED -> LIVE    the driver asked IVPCI_OP_JOIN; new generation, new GID
 *   LIVE -> LIVE         JOIN again (the guest rebooted): as LEAVE and JOIN in one
 *   LIVE -> CONNECTED    IVPCI_OP_LEAVE
 *   any -> EMPTY         QEMU went away
 *
 * Life of a DMB: its owner describes it in its descriptor table and tells the peer the
 * token (inside SMC's own handshake). A writer *claims* a DMB (its word in its own claim
 * table, then a full barrier, then a look at the descriptor) before it touches it. The
 * owner withdraws the descriptor, full barrier, looks at the writer's claim, and keeps
 * the memory aside until the claim is gone or the writer's generation is. This is the
 * hazard pointer scheme of M. Michael (2004), with one writer per word.
 */
#ifndef IVPCI_SHM_ABI_H
#define IVPCI_SHM_ABI_H

#include <linux/types.h>

#ifdef __cplusplus
#define IVPCI_ASSERT(e) static_assert(e, #e)
#else
#define IVPCI_ASSERT(e) _Static_assert(e, #e)
#endif

#define IVPCI_SHM_MAGIC	  0x30444d5343505649ULL /* "IVPCSMD0" in memory */
#define IVPCI_SHM_VERSION 1

#define IVPCI_BROKER_SLOT 0
#define IVPCI_SLOTS_MAX	  63
#define IVPCI_VECTORS_MAX 16

/* Vector 0 carries membership, bulletins and the broker's answers. Data from slot w rings
 * vector 1 + w % (vectors - 1) of its receiver, or 0 where there is only one.
 */
#define IVPCI_VECTOR_CONTROL 0

/* A DMB is 16 KiB << n, at most one chunk: a chunk's allocation map is one 64-bit word. */
#define IVPCI_DMB_UNIT	      (16u << 10)
#define IVPCI_CHUNK_SIZE      (1u << 20)
#define IVPCI_UNITS_PER_CHUNK (IVPCI_CHUNK_SIZE / IVPCI_DMB_UNIT)
#define IVPCI_CHUNKS_MAX      65536u

#define IVPCI_DMBS	      4096u /* descriptors per slot */
#define IVPCI_RING_SIZE	      1024u /* DMB indices per ordered pair, a power of two */
#define IVPCI_EVENT_RING_SIZE 16u   /* events per ordered pair, a power of two */

#define IVPCI_PAGE	    4096u
#define IVPCI_BULLETIN_SIZE (4u * IVPCI_PAGE)

enum ivpci_slot_state {
	IVPCI_SLOT_EMPTY = 0,
	IVPCI_SLOT_CONNECTED = 1,
	IVPCI_SLOT_LIVE = 2,
};

/* Requests of a guest to the broker; one outstanding at a time. */
enum ivpci_op {
	IVPCI_OP_NONE = 0,
	IVPCI_OP_JOIN = 1,   /* arg: unused */
	IVPCI_OP_LEAVE = 2,  /* arg: unused */
	IVPCI_OP_LEASE = 3,  /* arg: number of chunks wanted in addition */
	IVPCI_OP_RETURN = 4, /* arg: chunk number */
};

enum ivpci_ack {
	IVPCI_ACK_OK = 0,
	IVPCI_ACK_FULL = 1,    /* LEASE: no chunk is free */
	IVPCI_ACK_INVALID = 2, /* unknown op, not LIVE, not the leaseholder, wrong version */
};

/* What the broker says of a slot. Written by the broker only. */
struct ivpci_slot {
	__u32 state;	  /* enum ivpci_slot_state; written last, release */
	__u32 generation; /* counts JOINs of this slot, never 0 once LIVE; 24 bits used */
	__u64 gid;	  /* of this generation, the same in either byte order; 0 unless LIVE */
	__u32 ack_seq;	  /* last ivpci_ctl.req_seq answered; written after ack_status */
	__u32 ack_status; /* enum ivpci_ack */
	__u32 chunks;	  /* chunks leased to the current generation */
	__u32 era;	  /* ivpci_header.era when its QEMU connected; written before state */
	__u32 reserved[8];
};
IVPCI_ASSERT(sizeof(struct ivpci_slot) == 64);

/* Page 0. Written by the broker only; guests have it read-only by agreement. */
struct ivpci_header {
	__u64 magic;	 /* IVPCI_SHM_MAGIC; written last when a region is made */
	__u32 version;	 /* IVPCI_SHM_VERSION */
	__u32 slots;	 /* guests at most: slots 1..slots exist */
	__u8 uuid[16];	 /* of the region */
	__u64 size;	 /* bytes, a power of two (a PCI BAR) */
	__u64 area_off;	 /* bytes from the region's start, as all offsets here */
	__u64 area_size; /* of one slot's area; slot s is at area_off + (s - 1) * area_size */
	__u64 chunk_off; /* aligned to IVPCI_CHUNK_SIZE */
	__u32 chunks;
	__u32 lease_off; /* u32 leases[chunks], see ivpci_lease() */
	__u16 fabric_id; /* SMC's CHID, 0x0100..0xFEFF: not "emulated", so that kernels
				 * with 64-bit GIDs (6.1) can be members
				 */
	__u16 reserved0;
	__u32 broker_pid;	/* for people; 0: the broker said goodbye */
	__u64 broker_heartbeat; /* counts about once a second while a broker serves */
	/* Counts the brokers that came without their predecessor's connections. Members whose
	 * slots have the same era have each other's doorbells. Others have not: each of them
	 * looks at the other's rings by itself, and asks the broker without its doorbell.
	 */
	__u32 era;
	__u8 reserved[164];
	struct ivpci_slot slot[]; /* [slots + 1], by slot number; [0] is unused */
};
IVPCI_ASSERT(sizeof(struct ivpci_header) == 256);

/* leases[c]: 0 is free, else the holder. A lease whose generation is not its slot's
 * current one is *condemned*: the broker frees it when no live slot claims a DMB of that
 * slot any more.
 */
static inline __u32 ivpci_lease(__u32 slot, __u32 generation)
{
	return slot | generation << 8;
}

/* First page of a slot's area. Written by that guest's kernel only, as all of the area
 * except the bulletin, which its agent writes.
 */
struct ivpci_ctl {
	__u32 version; /* IVPCI_SHM_VERSION of the driver */
	__u32 vectors; /* MSI-X vectors it listens on, 1..IVPCI_VECTORS_MAX */
	__u64 epoch;   /* random, new at every probe; for people and logs */
	__u32 req_op;  /* enum ivpci_op */
	__u32 req_arg;
	__u32 req_seq;	    /* written last, release; then the broker's doorbell */
	__u32 heartbeat;    /* counts about once a second while the driver is bound */
	__u32 bulletin_seq; /* counts bulletin changes; a doorbell on vector 0 goes with it */
	__u32 reserved[7];
	/* looking[v]: non-zero while the guest will look at the rings of vector v again
	 * without being rung. Cleared, full barrier, rings looked at once more; a producer
	 * writes its ring, full barrier, then reads this.
	 */
	__u32 looking[IVPCI_VECTORS_MAX];
	/* Consumer positions, free running, by producer slot. */
	__u32 tail[IVPCI_SLOTS_MAX + 1];
	__u32 event_tail[IVPCI_SLOTS_MAX + 1];
	/* overflow count up to which all of the producer's DMBs were served */
	__u32 overflow_seen[IVPCI_SLOTS_MAX + 1];
};
IVPCI_ASSERT(sizeof(struct ivpci_ctl) <= IVPCI_PAGE);

/* An address another guest can reach this one under. IPv4 as ::ffff:a.b.c.d. */
struct ivpci_address {
	__u8 in6[16];
};

#define IVPCI_BULLETIN_ADDRESSES 1016u

/* Written by the guest's agent. A reader takes a copy between two equal even values of
 * `seq`; it gives up after a bounded number of tries and asks again at the next doorbell.
 * The driver empties it when the agent's file is closed, also by SIGKILL.
 */
struct ivpci_bulletin {
	__u32 seq;	     /* odd while it is being written */
	__u32 count;	     /* addresses, at most IVPCI_BULLETIN_ADDRESSES */
	__u32 agent_version; /* major << 16 | minor << 8 | patch; 0: no agent */
	__u32 flags;	     /* none yet, 0 */
	char name[64];	     /* host name, for people; not terminated when full */
	__u32 link_port;     /* TCP port the agent takes SMC connections of other agents on */
	__u32 reserved_port; /* 0 */
	__u32 offload_port;  /* TCP port where agents agree to move connections; 0: none */
	__u8 nonce[16];	     /* who names it there can read this memory; changes all the time */
	__u8 reserved[20];
	struct ivpci_address address[IVPCI_BULLETIN_ADDRESSES];
};
IVPCI_ASSERT(sizeof(struct ivpci_bulletin) == IVPCI_BULLETIN_SIZE);

struct ivpci_event {
	__u64 info;
	__u32 code;
	__u32 reserved;
};

/* Codes are the DIBS client's, but for this one, between drivers: the producer has ended its
 * connections with the receiver, which stood still for too long.
 */
#define IVPCI_EVENT_PARTED 0x49565043u

/* Producer's half of an ordered pair (producer -> receiver), in the producer's area. */
struct ivpci_pair {
	__u32 head;	/* free running; entries are written before it, release */
	__u32 overflow; /* counted up when the ring was full: receiver serves all */
	__u32 event_head;
	__u32 reserved[13];
	__u32 index[IVPCI_RING_SIZE]; /* DMB indices of the receiver to look at */
	struct ivpci_event event[IVPCI_EVENT_RING_SIZE];
};
IVPCI_ASSERT(sizeof(struct ivpci_pair) % 64 == 0);

/* DMB tokens: unique in the region while the DMB or a claim on it lives. */
static inline __u64 ivpci_token(__u32 serial, __u32 slot, __u32 index)
{
	return (__u64)serial << 32 | slot << 16 | index;
}

static inline __u32 ivpci_token_serial(__u64 token)
{
	return token >> 32;
}

static inline __u32 ivpci_token_slot(__u64 token)
{
	return token >> 16 & 0xffff;
}

static inline __u32 ivpci_token_index(__u64 token)
{
	return token & 0xffff;
}

/* A DMB as its owner describes it. */
struct ivpci_dmb_desc {
	__u64 token;  /* 0: none; written last on publish, first on withdraw */
	__u64 offset; /* bytes from the region's start, inside one leased chunk */
	__u32 len;    /* bytes, IVPCI_DMB_UNIT << n */
	__u32 writer; /* slot that may write into it */
	__u32 writer_generation;
	__u32 reserved;
};
IVPCI_ASSERT(sizeof(struct ivpci_dmb_desc) == 32);

/* Where things are. One function makes the layout from (size, slots); the broker writes
 * its result into the header, a guest computes it again and compares.
 */
struct ivpci_layout {
	__u64 size;
	__u32 slots;
	__u32 lease_off;
	__u64 area_off;
	__u64 area_size;
	__u64 chunk_off;
	__u32 chunks;
	/* inside an area */
	__u32 bulletin_off;
	__u32 pair_off;	 /* struct ivpci_pair[slots + 1], by receiver */
	__u32 desc_off;	 /* struct ivpci_dmb_desc[IVPCI_DMBS] */
	__u32 claim_off; /* u32 serial[slots + 1][IVPCI_DMBS], by owner and index; 0: none */
};

static inline __u64 ivpci_align(__u64 x, __u64 a)
{
	return (x + a - 1) & ~(a - 1);
}

/* Returns 0, or -1 if no region of `size` bytes (a power of two) can serve `slots` guests:
 * each must be able to have two chunks.
 */
static inline int ivpci_layout_init(struct ivpci_layout *l, __u64 size, __u32 slots)
{
	__u64 most = size / IVPCI_CHUNK_SIZE;

	if (!slots || slots > IVPCI_SLOTS_MAX || !size || (size & (size - 1)) ||
	    most > IVPCI_CHUNKS_MAX)
		return -1;

	l->size = size;
	l->slots = slots;
	l->bulletin_off = IVPCI_PAGE;
	l->pair_off = l->bulletin_off + IVPCI_BULLETIN_SIZE;
	l->desc_off = l->pair_off + (slots + 1) * (__u32)sizeof(struct ivpci_pair);
	l->claim_off = l->desc_off + IVPCI_DMBS * (__u32)sizeof(struct ivpci_dmb_desc);
	l->area_size = ivpci_align(l->claim_off + (__u64)(slots + 1) * IVPCI_DMBS * 4, IVPCI_PAGE);
	l->lease_off = (__u32)ivpci_align(
		sizeof(struct ivpci_header) + (slots + 1) * sizeof(struct ivpci_slot), 64);
	l->area_off = ivpci_align(l->lease_off + most * 4, IVPCI_PAGE);
	l->chunk_off = ivpci_align(l->area_off + slots * l->area_size, IVPCI_CHUNK_SIZE);
	if (l->chunk_off >= size)
		return -1;
	l->chunks = (__u32)((size - l->chunk_off) / IVPCI_CHUNK_SIZE);
	return l->chunks < 2 * slots ? -1 : 0;
}

static inline __u64 ivpci_area(const struct ivpci_layout *l, __u32 slot)
{
	return l->area_off + (slot - 1) * l->area_size;
}

/* Vector of `receiver_vectors` that data from slot `producer` rings. */
static inline __u32 ivpci_vector(__u32 producer, __u32 receiver_vectors)
{
	return receiver_vectors < 2 ? 0 : 1 + producer % (receiver_vectors - 1);
}

#endif /* IVPCI_SHM_ABI_H */
