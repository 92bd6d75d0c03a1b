/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A DIBS client that userspace drives: what SMC-D asks of a device, without SMC.
 *
 * /dev/dibs_client, one command per open: write it, then read the answer. What an op
 * returns is what write() returns.
 *   device                          name, GID, fabric id of the device
 *   query GID                       is that GID reachable?
 *   register GID LEN                a DMB that GID may write into: token (hex), index, length
 *   unregister TOKEN
 *   peek TOKEN OFFSET               eight bytes of an own DMB, as a number (hex)
 *   signals TOKEN                   how often the DMB's handler was called
 *   attach TOKEN | detach TOKEN     a peer's DMB as send buffer; attach answers its length
 *   move TOKEN OFFSET SIZE BYTE SIGNAL   SIZE times BYTE (hex) into a peer's DMB
 *   event GID CODE INFO             sends an event
 *   events                          count, and code, info and GID of the last one
 *   echo OWN PEER | echo off        what arrives in OWN is sent back into PEER
 *   ping OWN PEER COUNT             round trips with an echo: min, p50, p99, max in ns
 *   time-move TOKEN SIZE COUNT      ns for COUNT moves without a signal
 *   time-copy SIZE COUNT            ns for COUNT copies between ordinary memory
 *   time-alloc GID LEN IN_USE ROUNDS   ns for ROUNDS times unregister and register while
 *                                   IN_USE DMBs exist
 */
#ifndef DIBS_CLIENT_H
#define DIBS_CLIENT_H

#include <linux/atomic.h>
#include <linux/dibs.h>
#include <linux/list.h>
#include <linux/mutex.h>

struct client_dmb {
	struct dibs_dmb dmb; /* dmb_tok 0: none */
	atomic64_t signals;
};

/* Everything but the handlers' side is under `lock`. */
struct client_state {
	struct mutex lock;
	struct dibs_dev *dibs;	 /* the device that is driven; NULL: none */
	struct client_dmb *dmbs; /* [max_dmbs], by index */
	u32 max_dmbs;
	struct list_head attachments;
};

extern struct client_state state;
extern struct dibs_client the_client;

/* An answer has room for this many bytes. */
#define ANSWER_SIZE 256

/* dmb.c */
int client_register(const uuid_t *gid, u32 len, struct client_dmb **dmb);
int client_unregister(struct client_dmb *dmb);
void client_drop_everything(void);
struct client_dmb *client_find(u64 token);
int cmd_register(const char *words, char *answer);
int cmd_unregister(const char *words, char *answer);
int cmd_peek(const char *words, char *answer);
int cmd_signals(const char *words, char *answer);
int cmd_attach(const char *words, char *answer);
int cmd_detach(const char *words, char *answer);
int cmd_move(const char *words, char *answer);

/* pingpong.c */
void pingpong_init(void);
void pingpong_stop(void);
/* In the device's handler: dibs->lock is held, interrupts are off. */
void pingpong_signal(u32 index);
int cmd_echo(const char *words, char *answer);
int cmd_ping(const char *words, char *answer);

/* timing.c */
int cmd_time_move(const char *words, char *answer);
int cmd_time_copy(const char *words, char *answer);
int cmd_time_alloc(const char *words, char *answer);

#endif
