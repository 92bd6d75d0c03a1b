// SPDX-License-Identifier: GPL-2.0-only
/* What fails here has nothing to do with a feature. */
#include <linux/module.h>

MODULE_LICENSE("GPL");
