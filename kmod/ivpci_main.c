// SPDX-License-Identifier: GPL-2.0-only
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/suspend.h>

#include <ivshmem/protocol.h>
#include <smc_steer/version.h>

#include "ivpci.h"
#include "ivpci_constant.h"
#include "ivpci_rings.h"

#define CREATE_TRACE_POINTS
#include "ivpci_trace.h"

bool ivpci_nocopy = true;
module_param_named(nocopy, ivpci_nocopy, bool, 0444);
MODULE_PARM_DESC(
	nocopy,
	"map the peer's DMB as send buffer, one copy (default Y); N: own send buffers, two copies");

unsigned int ivpci_poll_us = 200;
module_param_named(poll_us, ivpci_poll_us, uint, 0644);
MODULE_PARM_DESC(
	poll_us,
	"microseconds a receiver looks on, on an idle CPU, before it wants a doorbell; in a try "
	"whether that pays, four times as long (default 200; 0: never)");

unsigned int ivpci_silent_s = 900;
module_param_named(silent_s, ivpci_silent_s, uint, 0644);
MODULE_PARM_DESC(
	silent_s,
	"seconds a peer may stand still until connections with it end (default 900, about what TCP "
	"waits for an acknowledgement; 0: for ever)");

bool ivpci_look_unrung = true;
module_param_named(look_unrung, ivpci_look_unrung, bool, 0644);
MODULE_PARM_DESC(
	look_unrung,
	"look each second for what no doorbell told of: a member lied, or there were too many "
	"events "
	"(default Y; N: for tests, which are to see a notification that our own code loses)");

static DEFINE_IDA(ivpci_numbers);

static int ivpci_regs_map(struct ivpci *ivpci)
{
	struct pci_dev *pdev = ivpci->pdev;
	int rc;

	rc = pci_enable_device_mem(pdev);
	if (rc)
		return rc;
	rc = pci_request_regions(pdev, KBUILD_MODNAME);
	if (rc)
		goto disable;
	ivpci->regs = pci_iomap(pdev, 0, 0);
	if (!ivpci->regs) {
		rc = -ENOMEM;
		goto release_regions;
	}
	pci_set_master(pdev); /* MSI-X */
	ivpci->slot = readl(ivpci->regs + IVSHMEM_REG_IVPOSITION);
	return 0;

release_regions:
	pci_release_regions(pdev);
disable:
	pci_disable_device(pdev);
	return rc;
}

static void ivpci_regs_unmap(struct ivpci *ivpci)
{
	pci_clear_master(ivpci->pdev);
	pci_iounmap(ivpci->pdev, ivpci->regs);
	pci_release_regions(ivpci->pdev);
	pci_disable_device(ivpci->pdev);
}

/* An image that is woken up later finds a region that went on without it, maybe in another slot. */
static int ivpci_pm_notify(struct notifier_block *nb, unsigned long event, void *unused)
{
	struct ivpci *ivpci = container_of(nb, struct ivpci, pm_notifier);

	if (event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	dev_err(&ivpci->pdev->dev, "no hibernation while this driver is bound\n");
	return notifier_from_errno(-EBUSY);
}

static int ivpci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct ivpci *ivpci = kzalloc(sizeof(*ivpci), GFP_KERNEL);
	int rc;

	if (!ivpci)
		return -ENOMEM;
	ivpci->pdev = pdev;
	pci_set_drvdata(pdev, ivpci);

	rc = ida_alloc(&ivpci_numbers, GFP_KERNEL);
	if (rc < 0)
		goto free_ivpci;
	ivpci->number = rc;
	ivpci->counters = alloc_percpu(struct ivpci_counters);
	if (!ivpci->counters) {
		rc = -ENOMEM;
		goto free_number;
	}
	rc = ivpci_regs_map(ivpci);
	if (rc)
		goto free_counters;
	rc = ivpci_shm_map(ivpci);
	if (rc)
		goto unmap_regs;
	rc = ivpci_dmb_init(ivpci);
	if (rc)
		goto unmap_shm;
	rc = ivpci_attach_init(ivpci);
	if (rc)
		goto exit_dmb;
	rc = ivpci_member_init(ivpci);
	if (rc)
		goto exit_attach;
	rc = ivpci_rings_init(ivpci);
	if (rc)
		goto exit_member;
	/* before an agent can open the device and write there */
	memset(ivpci_bulletin(ivpci, ivpci->slot), 0, IVPCI_BULLETIN_SIZE);
	rc = ivpci_chardev_add(ivpci);
	if (rc)
		goto exit_rings;
	rc = ivpci_irq_init(ivpci);
	if (rc)
		goto del_chardev;

	ivpci->pm_notifier.notifier_call = ivpci_pm_notify;
	rc = register_pm_notifier(&ivpci->pm_notifier);
	if (rc)
		goto exit_irq;
	ivpci_member_start(ivpci);
	ivpci_rings_open(ivpci);
	return 0;

exit_irq:
	ivpci_irq_exit(ivpci);
del_chardev:
	ivpci_chardev_del(ivpci);
exit_rings:
	ivpci_rings_exit(ivpci);
exit_member:
	ivpci_member_exit(ivpci);
exit_attach:
	ivpci_attach_exit(ivpci);
exit_dmb:
	ivpci_dmb_exit(ivpci);
unmap_shm:
	ivpci_shm_unmap(ivpci);
unmap_regs:
	ivpci_regs_unmap(ivpci);
free_counters:
	free_percpu(ivpci->counters);
free_number:
	ida_free(&ivpci_numbers, ivpci->number);
free_ivpci:
	kfree(ivpci);
	return rc;
}

/* SMC first: it ends its connections while the device still works. */
static void ivpci_remove(struct pci_dev *pdev)
{
	struct ivpci *ivpci = pci_get_drvdata(pdev);

	unregister_pm_notifier(&ivpci->pm_notifier);
	ivpci_member_stop(ivpci);
	ivpci_chardev_del(ivpci);
	ivpci_irq_exit(ivpci);
	ivpci_rings_exit(ivpci);
	ivpci_member_exit(ivpci);
	ivpci_attach_exit(ivpci);
	ivpci_dmb_exit(ivpci);
	ivpci_shm_unmap(ivpci);
	ivpci_regs_unmap(ivpci);
	free_percpu(ivpci->counters);
	ida_free(&ivpci_numbers, ivpci->number);
	kfree(ivpci);
}

static void ivpci_shutdown(struct pci_dev *pdev)
{
	ivpci_member_shutdown(pci_get_drvdata(pdev));
}

static const struct pci_device_id ivpci_ids[] = {
	{PCI_DEVICE(IVSHMEM_PCI_VENDOR, IVSHMEM_PCI_DEVICE)}, {}};
MODULE_DEVICE_TABLE(pci, ivpci_ids);

static struct pci_driver ivpci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = ivpci_ids,
	.probe = ivpci_probe,
	.remove = ivpci_remove,
	.shutdown = ivpci_shutdown,
};
module_pci_driver(ivpci_driver);

MODULE_DESCRIPTION(
	"QEMU ivshmem-doorbell as memory that virtual machines share, for SMC-D and rings");
MODULE_LICENSE("GPL");
MODULE_VERSION(STEER_VERSION);
IVPCI_CONSTANT(sources, IVPCI_SOURCES, "a sum of all it was compiled from");
IVPCI_CONSTANT(rings, IVPCI_RINGS_VERSION, "version of what tcp_ivpci_calls uses of it");
