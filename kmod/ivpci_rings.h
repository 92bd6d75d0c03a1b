/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rings: memory that a connection's two ends share, for other modules of this kernel. One end has a pair:
 * `in` is a DMB of ours that one peer writes to, `out` is a DMB of that peer's. What is in them is the
 * users' contract; here are memory, claims, signals and ends.
 *
 * Nobody depends on ivpci.ko for this. It is asked for with ivpci_rings_get(), which holds the module
 * until ivpci_rings_put(): for as long as make() takes, not for as long as rings live. So ivpci.ko can
 * be unloaded, or a device unbound, at any time. What keeps that exact is this rule:
 *
 *   - Who has made rings ends them, once: ivpci_rings_end(), from any context with interrupts on, also
 *     inside of gone() or signal(). From then on nobody touches `in` and `out`, calls anything with
 *     the rings, or is still in such a call.
 *   - Until then both are mapped, and nobody else is given their memory, whatever the peer and the
 *     broker do.
 *   - gone() asks for the end: nothing good will come of these rings any more. Whoever unbinds or
 *     unloads waits until the end has come, so it comes soon: in gone(), or from elsewhere.
 *   - release() is the last that is heard of the rings: then no callback runs or will run. No other
 *     thread calls gone() and release(), so they do not overlap.
 *   - Callbacks are in a module that is not unloaded before the last release() has returned, which
 *     nobody can wait for: in one that is never unloaded.
 */
#ifndef IVPCI_RINGS_H
#define IVPCI_RINGS_H

#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

struct ivpci_rings;

enum ivpci_rings_why {
	IVPCI_RINGS_PEER_LEFT = 1, /* or was taken out, or began anew */
	IVPCI_RINGS_PEER_SILENT,   /* its heart stands still for module parameter silent_s */
	IVPCI_RINGS_PEER_PARTED,   /* it says that it ended its connections with us */
	IVPCI_RINGS_NO_MEMBER,	   /* our slot was taken away */
	IVPCI_RINGS_SHUTDOWN,	   /* this kernel shuts down */
	IVPCI_RINGS_UNBIND,	   /* of the device: unplugged, or the module goes */
};

/* The user's. All are set. @user: as given to make(). */
struct ivpci_rings_user {
	/*
	 * @rung: the peer has signalled `in`, or says so: it can as often as it likes. Else nobody knows: the driver asks
	 * from time to time, since a signal may have got lost. softirq, under RCU, and never twice at once. May begin
	 * before make() has returned.
	 */
	void (*signal)(void *user, bool rung);
	/*
	 * Once at most, and not after release(); may come before make() has returned. Process context; may
	 * sleep, but for a bounded time.
	 */
	void (*gone)(void *user, enum ivpci_rings_why why);
	/* Once, some time after ivpci_rings_end(). Process context, may sleep likewise. */
	void (*release)(void *user);
};

/* ivpci's, for rings that are not ended. */
struct ivpci_rings_calls {
	/*
	 * Finds the peer's DMB by @token, as make() gave it there: `out` is valid then. Process context.
	 * -EINVAL: no token of this peer's; -EALREADY: it has been done;
	 * -ENOENT, -EACCES, -EBUSY: no such DMB (any more), or not for us; -ENETDOWN, -ENETUNREACH: as make();
	 * -ENOMEM
	 */
	int (*connect)(struct ivpci_rings *rings, u64 token);
	/*
	 * Has the peer's user called back: after all that was stored before. Any context with interrupts on,
	 * also in callbacks. Only when connected.
	 */
	void (*signal)(struct ivpci_rings *rings);
	/* Milliseconds for which the peer's heart stands still: steps of a second. Any context. */
	unsigned int (*quiet_ms)(const struct ivpci_rings *rings);
	/* By ivpci_rings_end(). */
	void (*end)(struct ivpci_rings *rings);
};

/* Read-only for users, valid until release(). The peer writes to `in` at any time, whatever it has agreed to. */
struct ivpci_rings {
	const struct ivpci_rings_calls *calls;
	void *in;  /* zeroed */
	void *out; /* NULL until connected */
	u32 in_len, out_len;
	u64 token; /* of `in`, for the peer's connect(): no secret */
};

struct ivpci_rings_ask {
	unsigned int device; /* N of /dev/ivpciN */
	u32 slot;	     /* the peer, as /dev/ivpciN and sysfs `members` name it */
	/*
	 * And its generation. It has to come from whoever agreed with that member about this connection: the
	 * next one in the slot is another guest, and what it writes to `in` would be the connection's.
	 */
	u32 generation;
	u32 len; /* bytes of `in`: 16 KiB << n, at most 1 MiB */
	const struct ivpci_rings_user *calls;
	void *user;
};

struct ivpci_rings_driver {
	/*
	 * Rings with a member. Process context; may wait half a second for the broker.
	 * ERR_PTR: -ENODEV (no such device), -EINVAL (slot, length), -ENETUNREACH (that member is not there, or stands
	 * still), -ENETDOWN (we are no member), -EACCES (somebody wrote into the region's header),
	 * -ENOSPC (no DMB is to be had), -ENOMEM
	 */
	struct ivpci_rings *(*make)(const struct ivpci_rings_ask *ask);
};

/* Of all of the above. Users that stay may be older than the driver: its name has the version, so they do not find another one. */
#define IVPCI_RINGS_VERSION 2
#define ivpci_rings_this    __PASTE(ivpci_rings_driver_, IVPCI_RINGS_VERSION)
extern const struct ivpci_rings_driver ivpci_rings_this;

/* NULL: ivpci.ko is not loaded, or another version, or going. It stays until ivpci_rings_put(). */
static inline const struct ivpci_rings_driver *ivpci_rings_get(void)
{
	return symbol_get(ivpci_rings_this);
}

static inline void ivpci_rings_put(void)
{
	symbol_put(ivpci_rings_this);
}

static inline void ivpci_rings_end(struct ivpci_rings *rings)
{
	/* the module is not freed under who is on the way out of it */
	rcu_read_lock();
	rings->calls->end(rings);
	rcu_read_unlock();
}

#endif
