// SPDX-License-Identifier: GPL-2.0-only
/* SMC-D devices as a layer of their own: Linux 6.18 */
#include <linux/dibs.h>

static __maybe_unused int probe(struct dibs_dev_ops *ops, struct device *parent)
{
	struct dibs_dev *dibs = dibs_dev_alloc();

	dibs->ops = ops;
	dibs->dev.parent = parent;
	return dibs_dev_add(dibs);
}
