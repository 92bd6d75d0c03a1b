/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Threads that take their time: tests/bpf/dawdle.bpf.c <-> tests/vm/programs/dawdle.cc. */
#ifndef DAWDLE_H
#define DAWDLE_H

#include <linux/types.h>

#define DAWDLE_NS 20000000     /* how long, */
#define DAWDLE_ONE_IN 8        /* and in how many of their calls */
#define DAWDLE_LOCKS_NS 300000 /* before each lock */

struct dawdle_state {
    char name[16]; /* how theirs begin, */
    __u32 one_in;
    __u64 ns;    /* how long, */
    __u64 count; /* and how often */
};

#endif
