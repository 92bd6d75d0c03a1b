/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How long a thread dawdles, and in how many of its calls: dawdle.bpf.c. */
#ifndef DAWDLE_H
#define DAWDLE_H

#include <linux/types.h>

#define DAWDLE_NS 20000000
#define DAWDLE_ONE_IN 8

#endif
