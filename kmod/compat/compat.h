/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What older kernels lack, by the names newer ones have for it. IVPCI_HAVE_* come from
 * compat/Kbuild, one for each file in compat/probes that compiles.
 */
#ifndef IVPCI_COMPAT_H
#define IVPCI_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/memremap.h>
#include <linux/mm.h>

#ifdef IVPCI_HAVE_UNALIGNED
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#ifndef IVPCI_HAVE_HRTIMER_SETUP
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock_id, mode);
	timer->function = function;
}
#endif

static inline struct dev_pagemap *compat_get_dev_pagemap(unsigned long pfn)
{
#ifdef IVPCI_HAVE_GET_DEV_PAGEMAP
	return get_dev_pagemap(pfn);
#else
	return get_dev_pagemap(pfn, NULL);
#endif
}

#ifndef IVPCI_HAVE_VM_FLAGS_SET
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

#endif
