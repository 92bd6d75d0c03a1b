// SPDX-License-Identifier: GPL-2.0-only
/* hrtimer_setup(): Linux 6.13, hrtimer_init() before */
#include <linux/hrtimer.h>

static __maybe_unused void probe(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *))
{
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
}
