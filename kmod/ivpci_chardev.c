// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/ivpciN, see include/ivpci/uapi.h. An open file may outlive its device: it holds
 * the chardev, and the chardev's pointer to the device is cleared under `lock`.
 */
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/compat.h"
#include "ivpci.h"

struct ivpci_chardev {
	struct kref kref;
	struct miscdevice misc;
	char name[16];
	/* ivpci, files, owner; inside mmap_lock (mmap, faults), so no user memory under it */
	struct rw_semaphore lock;
	struct ivpci *ivpci; /* NULL: the device is gone */
	struct list_head files;
	struct ivpci_file *owner; /* of the bulletin */
	wait_queue_head_t wait;
	atomic_t changes;
};

struct ivpci_file {
	struct list_head list;
	struct file *file;
	struct ivpci_chardev *cd;
	int seen; /* changes already reported by poll */
};

static void ivpci_chardev_release(struct kref *kref)
{
	kfree(container_of(kref, struct ivpci_chardev, kref));
}

/* Valid while the misc device is registered, as for its attributes. */
struct ivpci *ivpci_of_miscdevice(struct miscdevice *misc)
{
	return container_of(misc, struct ivpci_chardev, misc)->ivpci;
}

/* misc_open() holds misc_mtx: the chardev cannot be deregistered meanwhile. */
static int ivpci_open(struct inode *inode, struct file *file)
{
	struct ivpci_chardev *cd = container_of(file->private_data, struct ivpci_chardev, misc);
	struct ivpci_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	f->file = file;
	f->cd = cd;
	f->seen = atomic_read(&cd->changes);
	kref_get(&cd->kref);
	file->private_data = f;
	down_write(&cd->lock);
	list_add(&f->list, &cd->files);
	up_write(&cd->lock);
	return nonseekable_open(inode, file);
}

static void ivpci_publish(struct ivpci *ivpci)
{
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, ivpci->slot);
	u32 slot;

	WRITE_ONCE(ctl->bulletin_seq, ctl->bulletin_seq + 1);
	for (slot = 1; slot <= ivpci->layout.slots; slot++)
		if (ivpci_peer_generation(ivpci, slot))
			ivpci_ring_doorbell(ivpci, slot, IVPCI_VECTOR_CONTROL);
}

/* The agent is gone, by whatever way: its addresses are not to be steered to any more. */
static void ivpci_bulletin_clear(struct ivpci *ivpci)
{
	struct ivpci_bulletin *b = ivpci_bulletin(ivpci, ivpci->slot);
	u32 seq = READ_ONCE(b->seq) | 1;

	WRITE_ONCE(b->seq, seq);
	virt_wmb();
	memset((void *)b + sizeof(b->seq), 0, sizeof(*b) - sizeof(b->seq));
	virt_wmb();
	WRITE_ONCE(b->seq, seq + 1);
	ivpci_publish(ivpci);
}

static int ivpci_release(struct inode *inode, struct file *file)
{
	struct ivpci_file *f = file->private_data;
	struct ivpci_chardev *cd = f->cd;

	down_write(&cd->lock);
	list_del(&f->list);
	if (cd->owner == f) {
		cd->owner = NULL;
		if (cd->ivpci)
			ivpci_bulletin_clear(cd->ivpci);
	}
	up_write(&cd->lock);
	kfree(f);
	kref_put(&cd->kref, ivpci_chardev_release);
	return 0;
}

/* A change is reported once to each file, as in /proc/self/mounts. */
static __poll_t ivpci_poll(struct file *file, poll_table *wait)
{
	struct ivpci_file *f = file->private_data;
	struct ivpci_chardev *cd = f->cd;
	int changes;

	poll_wait(file, &cd->wait, wait);
	if (!READ_ONCE(cd->ivpci))
		return EPOLLHUP;
	changes = atomic_read(&cd->changes);
	if (changes == READ_ONCE(f->seen))
		return 0;
	WRITE_ONCE(f->seen, changes);
	return EPOLLPRI;
}

static void ivpci_info_get(struct ivpci *ivpci, struct ivpci_info *info)
{
	info->version = IVPCI_SHM_VERSION;
	info->slot = ivpci->slot;
	info->slots = ivpci->layout.slots;
	info->generation = READ_ONCE(ivpci->generation);
	info->gid = info->generation ? ivpci->gid : 0;
	info->size = ivpci->layout.size;
	memcpy(info->uuid, ivpci->identity.uuid, sizeof(info->uuid));
	info->vectors = ivpci->nr_vectors;
	info->fabric_id = ivpci->identity.fabric_id;
}

static void ivpci_stats_get(struct ivpci *ivpci, struct ivpci_stats *s)
{
	mutex_lock(&ivpci->dmb_lock);
	s->dmbs = ivpci->nr_dmbs;
	s->dmbs_parked = ivpci->nr_parked;
	s->dmb_bytes = ivpci->dmb_bytes;
	s->chunks = ivpci->nr_chunks;
	mutex_unlock(&ivpci->dmb_lock);
	s->attachments = atomic_read(&ivpci->nr_attachments);
	s->registered = ivpci_counter(ivpci, IVPCI_REGISTERED);
	s->refused_full = ivpci_counter(ivpci, IVPCI_REFUSED_FULL);
	s->refused_index = ivpci_counter(ivpci, IVPCI_REFUSED_INDEX);
	s->refused_peer = ivpci_counter(ivpci, IVPCI_REFUSED_PEER);
	s->bytes_sent = ivpci_counter(ivpci, IVPCI_BYTES_SENT);
	s->signals_sent = ivpci_counter(ivpci, IVPCI_SIGNALS_SENT);
	s->doorbells_sent = ivpci_counter(ivpci, IVPCI_DOORBELLS_SENT);
	s->doorbells_skipped = ivpci_counter(ivpci, IVPCI_DOORBELLS_SKIPPED);
	s->ring_overflows = ivpci_counter(ivpci, IVPCI_RING_OVERFLOWS);
	s->interrupts = ivpci_counter(ivpci, IVPCI_INTERRUPTS);
	s->signals_received = ivpci_counter(ivpci, IVPCI_SIGNALS_RECEIVED);
	s->full_scans = ivpci_counter(ivpci, IVPCI_FULL_SCANS);
	s->events_sent = ivpci_counter(ivpci, IVPCI_EVENTS_SENT);
	s->events_received = ivpci_counter(ivpci, IVPCI_EVENTS_RECEIVED);
	s->peers_lost = ivpci_counter(ivpci, IVPCI_PEERS_LOST);
	s->polls = ivpci_counter(ivpci, IVPCI_POLLS);
	s->poll_hits = ivpci_counter(ivpci, IVPCI_POLL_HITS);
	s->poll_ns = ivpci_counter(ivpci, IVPCI_POLL_NS);
	s->refused_broker = ivpci_counter(ivpci, IVPCI_REFUSED_BROKER);
	s->refused_memory = ivpci_counter(ivpci, IVPCI_REFUSED_MEMORY);
	s->refused_header = ivpci_counter(ivpci, IVPCI_REFUSED_HEADER);
	s->header_tampered = ivpci_counter(ivpci, IVPCI_HEADER_TAMPERED);
	s->peers_silent = ivpci_counter(ivpci, IVPCI_PEERS_SILENT);
	s->poll_rests = ivpci_counter(ivpci, IVPCI_POLL_RESTS);
}

/* The caller's structure may be older and shorter, or newer and longer than ours. */
static long ivpci_copy_answer(void __user *to, unsigned int cmd, const void *from, size_t size)
{
	size_t wanted = _IOC_SIZE(cmd);

	if (copy_to_user(to, from, min(wanted, size)))
		return -EFAULT;
	if (wanted > size && clear_user(to + size, wanted - size))
		return -EFAULT;
	return 0;
}

union ivpci_answer {
	struct ivpci_info info;
	struct ivpci_stats stats;
};

/* The size of the answer, 0: there is none. */
static long ivpci_ioctl_locked(struct ivpci_file *f, unsigned int cmd, union ivpci_answer *answer)
{
	struct ivpci *ivpci = f->cd->ivpci;

	if (_IOC_TYPE(cmd) != IVPCI_IOC_MAGIC)
		return -ENOTTY;
	switch (_IOC_NR(cmd)) {
	case _IOC_NR(IVPCI_IOC_INFO):
		ivpci_info_get(ivpci, &answer->info);
		return sizeof(answer->info);
	case _IOC_NR(IVPCI_IOC_STATS):
		ivpci_stats_get(ivpci, &answer->stats);
		return sizeof(answer->stats);
	case _IOC_NR(IVPCI_IOC_PUBLISH):
		if (f->cd->owner != f)
			return -EPERM;
		ivpci_publish(ivpci);
		return 0;
	default:
		return -ENOTTY;
	}
}

static long ivpci_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ivpci_file *f = file->private_data;
	union ivpci_answer answer = {};
	long rc = -ENODEV;

	down_read(&f->cd->lock);
	if (f->cd->ivpci)
		rc = ivpci_ioctl_locked(f, cmd, &answer);
	up_read(&f->cd->lock);
	return rc > 0 ? ivpci_copy_answer((void __user *)arg, cmd, &answer, rc) : rc;
}

/* Pages are handed out fault by fault, so that they can be taken back (unplug). */
static vm_fault_t ivpci_fault(struct vm_fault *vmf)
{
	struct ivpci_file *f = vmf->vma->vm_file->private_data;
	u64 at = (u64)vmf->pgoff << PAGE_SHIFT;
	vm_fault_t rc = VM_FAULT_SIGBUS;
	struct ivpci *ivpci;

	down_read(&f->cd->lock);
	ivpci = f->cd->ivpci;
	if (ivpci) {
		if (at >= IVPCI_MMAP_REGION)
			at -= IVPCI_MMAP_REGION;
		else
			at += ivpci_area(&ivpci->layout, ivpci->slot) + ivpci->layout.bulletin_off;
		rc = vmf_insert_pfn(vmf->vma, vmf->address,
				    PHYS_PFN(pci_resource_start(ivpci->pdev, 2) + at));
	}
	up_read(&f->cd->lock);
	return rc;
}

static const struct vm_operations_struct ivpci_vm_ops = {
	.fault = ivpci_fault,
};

static int ivpci_mmap_allowed(struct ivpci_file *f, struct vm_area_struct *vma)
{
	u64 from = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 len = vma->vm_end - vma->vm_start;

	if (!f->cd->ivpci)
		return -ENODEV;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (from >= IVPCI_MMAP_REGION) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		if (from - IVPCI_MMAP_REGION + len > f->cd->ivpci->layout.chunk_off)
			return -EINVAL;
		vm_flags_clear(vma, VM_MAYWRITE);
		return 0;
	}
	if (from + len > IVPCI_BULLETIN_SIZE)
		return -EINVAL;
	if (!(vma->vm_flags & VM_WRITE)) {
		vm_flags_clear(vma, VM_MAYWRITE);
		return 0;
	}
	if (f->cd->owner && f->cd->owner != f)
		return -EBUSY;
	f->cd->owner = f;
	return 0;
}

static int ivpci_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ivpci_file *f = file->private_data;
	int rc;

	down_write(&f->cd->lock);
	rc = ivpci_mmap_allowed(f, vma);
	up_write(&f->cd->lock);
	if (rc)
		return rc;
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &ivpci_vm_ops;
	return 0;
}

static const struct file_operations ivpci_fops = {
	.owner = THIS_MODULE,
	.open = ivpci_open,
	.release = ivpci_release,
	.poll = ivpci_poll,
	.unlocked_ioctl = ivpci_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = ivpci_mmap,
};

/* Membership or a bulletin changed. Any context. */
void ivpci_chardev_wake(struct ivpci *ivpci)
{
	atomic_inc(&ivpci->chardev->changes);
	wake_up_interruptible_poll(&ivpci->chardev->wait, EPOLLPRI);
}

int ivpci_chardev_add(struct ivpci *ivpci)
{
	struct ivpci_chardev *cd = kzalloc(sizeof(*cd), GFP_KERNEL);
	int rc;

	if (!cd)
		return -ENOMEM;
	kref_init(&cd->kref);
	init_rwsem(&cd->lock);
	INIT_LIST_HEAD(&cd->files);
	init_waitqueue_head(&cd->wait);
	cd->ivpci = ivpci;
	snprintf(cd->name, sizeof(cd->name), "ivpci%d", ivpci->number);
	cd->misc.minor = MISC_DYNAMIC_MINOR;
	cd->misc.name = cd->name;
	cd->misc.fops = &ivpci_fops;
	cd->misc.parent = &ivpci->pdev->dev;
	cd->misc.mode = 0600;
	cd->misc.groups = ivpci_sysfs_groups;
	ivpci->chardev = cd;
	rc = misc_register(&cd->misc);
	if (rc)
		kfree(cd);
	return rc;
}

void ivpci_chardev_del(struct ivpci *ivpci)
{
	struct ivpci_chardev *cd = ivpci->chardev;
	struct ivpci_file *f;

	misc_deregister(&cd->misc);
	/* Faults wait for the lock, then find no device: nothing is mapped again. */
	down_write(&cd->lock);
	cd->ivpci = NULL;
	list_for_each_entry(f, &cd->files, list)
		unmap_mapping_range(f->file->f_mapping, 0, 0, 1);
	up_write(&cd->lock);
	wake_up_interruptible_poll(&cd->wait, EPOLLHUP);
	kref_put(&cd->kref, ivpci_chardev_release);
}
