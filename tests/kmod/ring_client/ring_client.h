/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A user of rings (kmod/ivpci_rings.h) that userspace drives. As that asks for, it cannot be unloaded.
 *
 * /dev/ring_client, one command per open: write it, then read the answer. What a call returns is what
 * write() returns. ID is what `make` answers first.
 *   make DEVICE SLOT GENERATION LEN  with that member: ID and token (hex)
 *   connect ID TOKEN                answers the length of the peer's memory
 *   put ID OFFSET SIZE BYTE         SIZE times BYTE (hex) into the peer's memory
 *   peek ID OFFSET                  eight bytes of our memory, as a number (hex)
 *   signal ID
 *   look ID                         signals that came, why it is gone (0: it is not), released or not
 *   quiet ID                        ms since the peer's heart was seen to beat
 *   end ID
 *   busy ID                         a thread reads, writes and signals, many times a ms, until the end
 *   keep ID                         gone() is heard and not followed: `end` has to be asked for
 *   echo ID                         what a signal says is there is sent back, in softirq
 *   slow ID MS                      a signal ends it, and takes that long from then on, in softirq
 *   ping ID COUNT                   round trips with an echo: ns for all of them
 *   all                             ends that were made, told that they are gone, and released
 */
#ifndef RING_CLIENT_H
#define RING_CLIENT_H

#include <linux/completion.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "ivpci_rings.h"

struct end {
	spinlock_t lock; /* bh off; of all but signals, and held by who touches the memory */
	struct ivpci_rings *rings; /* NULL: ended, or being made */
	u64 signals;
	u32 why; /* of gone(), 0: not yet */
	bool released;
	bool keeps;
	bool echoes;
	u32 slow_ms;
	struct task_struct *busy;
	u64 wanted; /* that ping waits for */
	struct completion came;
};

/* An answer has room for this many bytes. */
#define ANSWER_SIZE 256

int end_make(const char *words, char *answer);
int end_connect(struct end *end, const char *words, char *answer);
int end_put(struct end *end, const char *words, char *answer);
int end_peek(struct end *end, const char *words, char *answer);
int end_signal(struct end *end, const char *words, char *answer);
int end_look(struct end *end, const char *words, char *answer);
int end_quiet(struct end *end, const char *words, char *answer);
int end_end(struct end *end, const char *words, char *answer);
int end_busy(struct end *end, const char *words, char *answer);
int end_keep(struct end *end, const char *words, char *answer);
int end_echo(struct end *end, const char *words, char *answer);
int end_slow(struct end *end, const char *words, char *answer);
int end_ping(struct end *end, const char *words, char *answer);
int end_all(const char *words, char *answer);
struct end *end_find(unsigned int id);

#endif
