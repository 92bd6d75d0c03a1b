/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ivpci: QEMU's ivshmem-doorbell device as memory that guests share: for SMC-D, as a DIBS device or as an smcd
 * device of kernels before that, where there is one; and for rings (ivpci_rings.h).
 *
 * Lock order, outermost first:
 *   member_lock > dmb_lock > request_lock     mutexes
 *   member_lock > (SMC's device list) > peer_lock   mutexes
 *   vector.lock > dibs->lock or smcd->lock    spin, bh off; irqs off (SMC's handlers run under both)
 *   vector.lock, peer_lock > smcd events      spin, bh off
 *   peer.producer_lock                        spin, bh off
 *   attach_lock                               spin, bh off
 *   rings_gate > peer_lock; rings_gate > dmb_lock   rwsem of ivpci_rings.c, mutexes
 *   vector.lock, peer_lock > rings_lock       spin, bh off; also inside of what users of rings have
 */
#ifndef IVPCI_H
#define IVPCI_H

#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/ratelimit.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uuid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <ivpci/shm_abi.h>
#include <ivpci/uapi.h>

#include "ivpci_alloc.h"
#include "ivpci_poll.h"
#include "ivpci_rings.h"
#include "ivpci_users.h"

struct ivpci;
struct ivpci_rings_held;

/* of ivpci_slot.generation */
#define IVPCI_GENERATION_MASK 0xffffff

/* A DMB of ours, by index; dmb_lock, but for `writer`, which the interrupt side reads. */
struct ivpci_dmb {
	u64 token;
	u64 offset;
	u32 len;
	u32 writer;	   /* slot; 0: index is free or withdrawn */
	u32 parked_writer; /* slot whose claim keeps the memory aside */
	u32 writer_generation;
	struct list_head parked;	      /* on ivpci.parked, or empty */
	struct ivpci_rings_held __rcu *rings; /* rings_lock; NULL: SMC's */
	u64 served[4];			      /* how it began then; lock of its writer's vector */
};

/* A chunk leased to us; dmb_lock. */
struct ivpci_chunk {
	struct list_head room; /* on ivpci.room[], or empty: full, or returning */
	u32 number;
	bool returning; /* offered back to the broker, not allocated from */
	u64 map;
};

/* A DMB of a peer that is mapped as a send buffer here. */
struct ivpci_attachment {
	struct rcu_head rcu;
	struct ivpci *ivpci;
	u64 token;
	void *addr;
	u32 len;
	/* by whether SMC calls it by the token or by the token with its bytes reversed, see
	 * ivpci_token_from_peer(); written under attach_lock
	 */
	struct ivpci_users users;
	/* producer cursor SMC wrote last, to count payload by; only one connection uses a
	 * DMB at a time
	 */
	u32 count;
	u16 wrap;
};

/* What we know of a slot. Written under peer_lock, read by everyone with READ_ONCE. */
struct ivpci_peer {
	u32 generation; /* 0: not live */
	u32 vectors;
	u64 gid;
	bool unreachable;	/* of another era: no doorbell reaches it, nor its us */
	bool silent;		/* its heart stands still, see ivpci_silence.c */
	u32 heartbeat;		/* as last seen; peer_lock, as the next */
	unsigned long quiet;	/* jiffies that it did not change in */
	u32 bulletin_seq;	/* member_lock only */
	struct list_head rings; /* rings_lock */
	u32 events;		/* served since `events_since`, see ivpci_irq.c; vector.lock */
	unsigned long events_since;
	spinlock_t producer_lock; /* our half of the pair: ring and event ring */
};

enum ivpci_counter {
	IVPCI_REGISTERED,
	IVPCI_REFUSED_FULL,
	IVPCI_REFUSED_INDEX,
	IVPCI_REFUSED_PEER,
	IVPCI_BYTES_SENT,
	IVPCI_SIGNALS_SENT,
	IVPCI_DOORBELLS_SENT,
	IVPCI_DOORBELLS_SKIPPED,
	IVPCI_RING_OVERFLOWS,
	IVPCI_INTERRUPTS,
	IVPCI_SIGNALS_RECEIVED,
	IVPCI_FULL_SCANS,
	IVPCI_EVENTS_SENT,
	IVPCI_EVENTS_RECEIVED,
	IVPCI_PEERS_LOST,
	IVPCI_POLLS,
	IVPCI_POLL_HITS,
	IVPCI_POLL_NS,
	IVPCI_POLL_RESTS,
	IVPCI_REFUSED_BROKER,
	IVPCI_REFUSED_MEMORY,
	IVPCI_REFUSED_HEADER,
	IVPCI_HEADER_TAMPERED,
	IVPCI_PEERS_SILENT,
	IVPCI_COUNTERS,
};

struct ivpci_counters {
	u64 n[IVPCI_COUNTERS];
};

struct ivpci_vector {
	struct ivpci *ivpci;
	unsigned int number;
	struct tasklet_struct tasklet;
	struct task_struct *poller;
	spinlock_t lock; /* who looks: the tasklet or the poller; the words below */
	bool polling;
	bool stopped; /* it is being taken away: tasklets do nothing */
	struct ivpci_poll poll;
	u64 worked_ns; /* when work was found last */
	u64 until_ns;  /* the poller's time */
	u32 looked_at; /* slot */
};

struct ivpci {
	struct pci_dev *pdev;
	int number; /* N of /dev/ivpciN and of dibs device ivpciN */
	u32 slot;
	u32 nr_vectors;
	struct ivpci_vector *vectors;
	void __iomem *regs; /* BAR 0 */

	/* BAR 2; the layout is our own computation, checked against the header */
	/* outlives us while pages of it are lent, see ivpci_shm_lent() */
	struct dev_pagemap *pgmap;
	void *shm;
	struct ivpci_layout layout;
	struct ivpci_counters __percpu *counters;

	/* membership */
	struct mutex member_lock;
	struct delayed_work member_work;
	struct workqueue_struct *wq;
	u32 generation; /* ours; 0: not joined */
	u64 gid;
	u64 broker_heartbeat; /* last seen */
	bool broker_away;
	bool going_away; /* or not there yet: nothing is started */
	bool open;	 /* a member that may begin something new; READ_ONCE() without the lock */
	unsigned long not_ours; /* jiffies that the header has said so of our slot */
	unsigned long parted;	/* jiffies, when SMC was told last that all peers are gone */
	unsigned long worked;	/* jiffies, when member_work began last */
	/* slot whose DMBs were all served last, and jiffies then; member_work */
	u32 served_last;
	unsigned long served_at;
	struct ratelimit_state member_log;
	unsigned long ask_after;  /* jiffies, see ivpci_may_ask() */
	unsigned long watched;	  /* jiffies, when the peers' heartbeats were looked at */
	struct mutex peer_lock;	  /* writers of peers */
	struct ivpci_peer *peers; /* [slots + 1] */
	u32 nr_unreachable;	  /* of the live ones */
	struct hrtimer look_timer;

	/* a member wrote into the header; peer_lock, but `distrusted` is read without */
	bool distrusted;
	unsigned long trust_after; /* jiffies */

	/* requests to the broker */
	struct mutex request_lock;
	wait_queue_head_t request_wait;

	/* own DMBs */
	struct mutex dmb_lock;
	struct ivpci_dmb *dmbs;	 /* [IVPCI_DMBS] */
	unsigned long *dmb_used; /* bitmap over dmbs */
	struct xarray chunks;	 /* leased to us, by number */
	/* those with room, by the order of their largest free run */
	struct list_head room[IVPCI_CHUNK_ORDER + 1];
	struct list_head parked;
	u32 nr_dmbs, nr_parked, nr_chunks;
	u64 dmb_bytes;
	u32 serial;

	/* peers' DMBs, by slot * IVPCI_DMBS + index */
	struct ivpci_attachment __rcu **attachments;
	spinlock_t attach_lock;
	atomic_t nr_attachments;

	/* ivpci_rings.c */
	struct list_head rings_device; /* under its gate */
	spinlock_t rings_lock;
	struct list_head rings_due;
	u32 nr_rings;		    /* not released; written under rings_lock */
	atomic_t nr_rings_attached; /* of nr_attachments, or fewer for a moment */
	struct workqueue_struct *rings_wq;
	struct work_struct rings_work;
	wait_queue_head_t rings_wait;

	struct notifier_block pm_notifier;
	struct ivpci_chardev *chardev;
	/* the kernel's side, NULL until joined; which of them says compat/Kbuild */
	struct dibs_dev *dibs;
	struct smcd_dev *smcd;
	bool smcd_events;      /* may still be told of them */
	unsigned long offered; /* jiffies, when SMC looked at the smcd device last */

	struct ivpci_header identity; /* as found when bound; up to broker_pid, no slots */
};

extern bool ivpci_nocopy;
extern unsigned int ivpci_poll_us;
extern bool ivpci_look_unrung;
extern unsigned int ivpci_silent_s;

static inline void ivpci_add(struct ivpci *ivpci, enum ivpci_counter c, u64 n)
{
	this_cpu_add(ivpci->counters->n[c], n);
}

static inline void ivpci_inc(struct ivpci *ivpci, enum ivpci_counter c)
{
	ivpci_add(ivpci, c, 1);
}

/* ivpci_shm.c: where things are; what we ask of the broker */
static inline struct ivpci_header *ivpci_header(struct ivpci *ivpci)
{
	return ivpci->shm;
}

static inline struct ivpci_ctl *ivpci_ctl(struct ivpci *ivpci, u32 slot)
{
	return ivpci->shm + ivpci_area(&ivpci->layout, slot);
}

static inline struct ivpci_bulletin *ivpci_bulletin(struct ivpci *ivpci, u32 slot)
{
	return ivpci->shm + ivpci_area(&ivpci->layout, slot) + ivpci->layout.bulletin_off;
}

static inline struct ivpci_pair *ivpci_pair(struct ivpci *ivpci, u32 producer, u32 receiver)
{
	return ivpci->shm + ivpci_area(&ivpci->layout, producer) + ivpci->layout.pair_off +
	       receiver * sizeof(struct ivpci_pair);
}

static inline struct ivpci_dmb_desc *ivpci_desc(struct ivpci *ivpci, u32 slot, u32 index)
{
	return ivpci->shm + ivpci_area(&ivpci->layout, slot) + ivpci->layout.desc_off +
	       index * sizeof(struct ivpci_dmb_desc);
}

static inline u32 *ivpci_claim(struct ivpci *ivpci, u32 claimer, u32 owner, u32 index)
{
	return ivpci->shm + ivpci_area(&ivpci->layout, claimer) + ivpci->layout.claim_off +
	       (owner * IVPCI_DMBS + index) * sizeof(u32);
}

static inline u32 ivpci_leaseholder(struct ivpci *ivpci, u32 chunk)
{
	u32 *leases = ivpci->shm + ivpci->layout.lease_off;

	return READ_ONCE(leases[chunk]);
}

int ivpci_shm_map(struct ivpci *ivpci);
void ivpci_shm_unmap(struct ivpci *ivpci);
/* A pipe holds pages of the region. */
bool ivpci_shm_lent(struct ivpci *ivpci);
void ivpci_area_reset(struct ivpci *ivpci);
bool ivpci_may_ask(struct ivpci *ivpci);
/* 0, -ENOSPC (FULL), -EINVAL (refused) or -ETIMEDOUT (the broker is away). Sleeps. */
int ivpci_request(struct ivpci *ivpci, enum ivpci_op op, u32 arg);

/* ivpci_guard.c: whether the header can be believed */
void ivpci_guard_look(struct ivpci *ivpci);
/* The header says of our slot what it said when we joined; member_lock held, joined. */
bool ivpci_slot_is_ours(struct ivpci *ivpci);
static inline bool ivpci_header_trusted(struct ivpci *ivpci)
{
	return !READ_ONCE(ivpci->distrusted);
}

/* ivpci_dmb.c: our DMBs */
int ivpci_dmb_init(struct ivpci *ivpci);
void ivpci_dmb_exit(struct ivpci *ivpci);
int ivpci_dmb_register(struct ivpci *ivpci, u32 writer, u32 len, struct ivpci_dmb *dmb,
		       void **addr);
int ivpci_dmb_unregister(struct ivpci *ivpci, u64 token);
void ivpci_dmb_housekeeping(struct ivpci *ivpci);
void ivpci_dmb_forget(struct ivpci *ivpci);
bool ivpci_dmb_all_returned(struct ivpci *ivpci);
void ivpci_dmb_abandon(struct ivpci *ivpci);

/* ivpci_attach.c: peers' DMBs; tokens as their owner told SMC */
int ivpci_attach_init(struct ivpci *ivpci);
void ivpci_attach_exit(struct ivpci *ivpci);
bool ivpci_attach_settled(struct ivpci *ivpci);
int ivpci_attach(struct ivpci *ivpci, u64 given, struct ivpci_dmb *dmb, void **addr);
int ivpci_detach(struct ivpci *ivpci, u64 given);
int ivpci_move(struct ivpci *ivpci, u64 given, bool signal, u32 offset, const void *data, u32 size);

/* ivpci_peer.c: who else is there */
int ivpci_member_init(struct ivpci *ivpci);
void ivpci_member_start(struct ivpci *ivpci);
/* Has it look around soon. Any context. */
void ivpci_member_kick(struct ivpci *ivpci);
void ivpci_member_shutdown(struct ivpci *ivpci);
void ivpci_member_stop(struct ivpci *ivpci);
void ivpci_member_exit(struct ivpci *ivpci);
u32 ivpci_peer_by_gid(struct ivpci *ivpci, u64 gid);
/* Makes what we know of peers what the broker's table says. Process context, sleeps. */
void ivpci_peers_sync(struct ivpci *ivpci);
/* For what members can cause as often as they like. @dev_level: dev_info or dev_warn. */
#define ivpci_member_log(dev_level, ivpci, ...)                      \
	do {                                                         \
		if (__ratelimit(&(ivpci)->member_log))               \
			dev_level(&(ivpci)->pdev->dev, __VA_ARGS__); \
	} while (0)
static inline bool ivpci_may_begin(struct ivpci *ivpci)
{
	return READ_ONCE(ivpci->open);
}

static inline u32 ivpci_peer_generation(struct ivpci *ivpci, u32 slot)
{
	return READ_ONCE(ivpci->peers[slot].generation);
}

/* ivpci_silence.c: peers that stand still */
void ivpci_silence_watch(struct ivpci *ivpci);
void ivpci_silence_reset(struct ivpci *ivpci, u32 slot);

/* ivpci_era.c: peers that have not our doorbells, and we not theirs */
void ivpci_era_init(struct ivpci *ivpci);
void ivpci_era_exit(struct ivpci *ivpci);
bool ivpci_era_differs(struct ivpci *ivpci, u32 slot);
void ivpci_era_sync(struct ivpci *ivpci);

/* ivpci_irq.c: doorbells and rings */
int ivpci_irq_init(struct ivpci *ivpci);
void ivpci_irq_exit(struct ivpci *ivpci);
/* Waits for every handler that may still use what was just taken away. Process context. */
void ivpci_irq_quiesce(struct ivpci *ivpci);
void ivpci_ring_doorbell(struct ivpci *ivpci, u32 slot, u32 vector);
void ivpci_signal(struct ivpci *ivpci, u32 slot, u32 index);
/* Looks at the rings as if every data vector had been rung. Any context. */
void ivpci_look(struct ivpci *ivpci);
/* What all DMBs that one peer writes to would have been signalled for, another peer's each time. Process context. */
void ivpci_serve_next_peer(struct ivpci *ivpci);
int ivpci_send_event(struct ivpci *ivpci, u32 slot, u32 code, u64 info);

/* ivpci_rings.c: memory for other modules */
int ivpci_rings_init(struct ivpci *ivpci);
void ivpci_rings_exit(struct ivpci *ivpci);
void ivpci_rings_open(struct ivpci *ivpci);
void ivpci_rings_close(struct ivpci *ivpci);
void ivpci_rings_wait(struct ivpci *ivpci);
/* After the state says so that new ones are refused by. */
void ivpci_rings_lost(struct ivpci *ivpci, u32 slot, enum ivpci_rings_why why);
void ivpci_rings_lost_all(struct ivpci *ivpci, enum ivpci_rings_why why);
/* softirq; false: not of rings */
bool ivpci_rings_signalled(struct ivpci *ivpci, u32 index, bool rung);

/* ivpci_sysfs.c */
extern const struct attribute_group *ivpci_sysfs_groups[];
u64 ivpci_counter(struct ivpci *ivpci, enum ivpci_counter c);

/* ivpci_chardev.c */
struct ivpci *ivpci_of_miscdevice(struct miscdevice *misc);
int ivpci_chardev_add(struct ivpci *ivpci);
void ivpci_chardev_del(struct ivpci *ivpci);
void ivpci_chardev_wake(struct ivpci *ivpci);

/* ivpci_dibs.c, ivpci_smcd.c or ivpci_nosmc.c: the kernel's side. Handlers may be called from softirq. */
extern const char ivpci_client_kind[]; /* of SMC device: "dibs", "smcd", "none" */
/* Makes the device, or tells the one that is there its new GID. */
int ivpci_client_add(struct ivpci *ivpci);
void ivpci_client_del(struct ivpci *ivpci);
void ivpci_client_signal(struct ivpci *ivpci, u32 index);
void ivpci_client_event(struct ivpci *ivpci, u64 gid, u32 code, u64 info);
void ivpci_client_peer_lost(struct ivpci *ivpci, u64 gid);

#endif
