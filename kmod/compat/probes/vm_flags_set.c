// SPDX-License-Identifier: GPL-2.0-only
/* vm_flags_set() and vm_flags_clear(): Linux 6.3, a plain word before */
#include <linux/mm.h>

static __maybe_unused void probe(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_DONTDUMP);
	vm_flags_clear(vma, VM_MAYWRITE);
}
