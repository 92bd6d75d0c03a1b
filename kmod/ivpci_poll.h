/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a vector's receiver keeps looking at its rings after work came, and how long, so that what
 * follows needs no doorbell. Pure; the caller has vector->lock.
 *
 * Two ends that talk by turns are fast only if both look: while one does not, its doorbell takes longer than the
 * other one's window, which finds nothing then and closes. So what was found or not found while the other end did
 * not look says little, and how long doorbells are apart says nothing of how long answers would take. Therefore
 *
 *  - whether to look is decided by what looking found, never by the time between doorbells;
 *  - who lives by doorbells tries to look again after some of them: 16 at first, twice as many after each try in vain;
 *  - a try looks four times as long, so that two ends whose doorbells take longer than a window meet in it, if they
 *    try at the same time, as they do when they begin. What it finds later than a window counts as nothing found.
 *
 * Looking that finds nothing takes a CPU from somebody on a host that is short of them: less than one find in
 * three windows, and the vector rests. Tries cost at most IVPCI_POLL_TRY * IVPCI_POLL_CREDIT windows for
 * IVPCI_POLL_REST_MAX doorbells, of a CPU that would be idle.
 */
#ifndef IVPCI_POLL_H
#define IVPCI_POLL_H

enum {
	IVPCI_POLL_CREDIT = 16,	    /* windows without a find, when a try begins */
	IVPCI_POLL_CREDIT_MAX = 64, /* and at most */
	IVPCI_POLL_CREDIT_FIND = 2,
	IVPCI_POLL_REST_MIN = 16, /* doorbells */
	IVPCI_POLL_REST_MAX = 1024,
	IVPCI_POLL_TRY = 4, /* windows long */
};

struct ivpci_poll {
	__u32 credit;
	__u32 resting; /* doorbells left of a rest */
	__u32 rest;    /* how many the next one has */
};

static inline void ivpci_poll_init(struct ivpci_poll *poll)
{
	poll->credit = IVPCI_POLL_CREDIT;
	poll->resting = 0;
	poll->rest = IVPCI_POLL_REST_MIN;
}

/* A doorbell came. */
static inline void ivpci_poll_rung(struct ivpci_poll *poll)
{
	if (poll->resting)
		poll->resting--;
}

/* How long to look after work that came now, ns; 0: not at all. @most: what is allowed, ns. */
static inline __u64 ivpci_poll_window(const struct ivpci_poll *poll, __u64 most)
{
	if (poll->resting)
		return 0;
	return poll->credit > IVPCI_POLL_CREDIT ? most : most * IVPCI_POLL_TRY;
}

/* A window has passed. True: it rests from now on. */
static inline bool ivpci_poll_in_vain(struct ivpci_poll *poll)
{
	if (poll->resting)
		return false;
	if (poll->credit) {
		poll->credit--;
		return false;
	}
	poll->credit = IVPCI_POLL_CREDIT;
	poll->resting = poll->rest;
	if (poll->rest < IVPCI_POLL_REST_MAX)
		poll->rest *= 2;
	return true;
}

/* Looking found work @waited ns after the work before. As ivpci_poll_in_vain(). */
static inline bool ivpci_poll_found(struct ivpci_poll *poll, __u64 waited, __u64 most)
{
	if (waited > most)
		return ivpci_poll_in_vain(poll);
	poll->credit += IVPCI_POLL_CREDIT_FIND;
	if (poll->credit >= IVPCI_POLL_CREDIT_MAX) {
		poll->credit = IVPCI_POLL_CREDIT_MAX;
		poll->rest = IVPCI_POLL_REST_MIN; /* it is worth it */
	}
	return false;
}

#endif
