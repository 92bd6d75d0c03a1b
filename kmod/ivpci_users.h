/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who uses an attachment, and when its claim can be dropped: when a whole grace period has passed since the
 * last user went. Readers look at the users under RCU alone, so one that came and went meanwhile may have
 * left a reader behind. Pure but for the accessors, as ivpci_ring.h; the caller has a lock.
 */
#ifndef IVPCI_USERS_H
#define IVPCI_USERS_H

struct ivpci_users {
	unsigned int by[2]; /* each of the two ways to name it */
	bool ending;	    /* nobody uses it, or did when the grace period began that is awaited */
	bool again;	    /* the last one went once more meanwhile */
};

enum ivpci_grace {
	IVPCI_GRACE_USED,  /* by somebody who came meanwhile */
	IVPCI_GRACE_AGAIN, /* another one has to pass */
	IVPCI_GRACE_OVER,
};

static inline bool ivpci_used(const struct ivpci_users *users)
{
	return users->by[0] || users->by[1];
}

static inline void ivpci_use(struct ivpci_users *users, bool way)
{
	WRITE_ONCE(users->by[way], users->by[way] + 1);
}

/* One less. True: a grace period is to be awaited now. */
static inline bool ivpci_unuse(struct ivpci_users *users, bool way)
{
	bool waits = users->ending;

	WRITE_ONCE(users->by[way], users->by[way] - 1);
	if (ivpci_used(users))
		return false;
	users->ending = true;
	users->again = waits;
	return !waits;
}

/* The grace period that was awaited has passed. */
static inline enum ivpci_grace ivpci_grace_passed(struct ivpci_users *users)
{
	bool again = users->again;

	users->again = false;
	if (ivpci_used(users)) {
		users->ending = false;
		return IVPCI_GRACE_USED;
	}
	return again ? IVPCI_GRACE_AGAIN : IVPCI_GRACE_OVER;
}

#endif
