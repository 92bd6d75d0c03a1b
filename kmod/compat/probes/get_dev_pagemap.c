// SPDX-License-Identifier: GPL-2.0-only
/* get_dev_pagemap() without a mapping to begin with: later than Linux 6.1 */
#include <linux/memremap.h>

static __maybe_unused struct dev_pagemap *probe(unsigned long pfn)
{
	return get_dev_pagemap(pfn);
}
