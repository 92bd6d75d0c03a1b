// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps BAR 2 of the first ivshmem device mapped, as something else than the driver may have left it.
 *
 *   insmod squat.ko owner=0x30444d5343505649 shift=0
 */
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/pci.h>

static unsigned long owner;
module_param(owner, ulong, 0444);
MODULE_PARM_DESC(owner, "dev_pagemap.owner");

static unsigned long shift;
module_param(shift, ulong, 0444);
MODULE_PARM_DESC(shift, "dev_pagemap.vmemmap_shift");

static struct dev_pagemap pgmap;

static int __init squat_init(void)
{
	struct pci_dev *pdev = pci_get_device(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110, NULL);
	void *at;

	if (!pdev)
		return -ENODEV;
	pgmap.type = MEMORY_DEVICE_GENERIC;
	pgmap.owner = (void *)owner;
	pgmap.vmemmap_shift = shift;
	pgmap.nr_range = 1;
	pgmap.range.start = pci_resource_start(pdev, 2);
	pgmap.range.end = pci_resource_end(pdev, 2);
	at = memremap_pages(&pgmap, NUMA_NO_NODE);
	pci_dev_put(pdev);
	return PTR_ERR_OR_ZERO(at);
}

static void __exit squat_exit(void)
{
	memunmap_pages(&pgmap);
}

module_init(squat_init);
module_exit(squat_exit);

MODULE_DESCRIPTION("a mapping in the driver's way, for tests");
MODULE_LICENSE("GPL");
