// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's side: a DIBS device (Linux >= 6.18, include/linux/dibs.h).
 */
#include <linux/dibs.h>

#include "ivpci.h"

/* SMC-Dv2 is offered only on devices that accept this VLAN id. */
#define IVPCI_ISM_RESERVED_VLANID 0x1FFF

/* A GID here is 64 bits (fabric ids below 0xFF00, see shm_abi.h): the first half. */
static u64 ivpci_gid_from_uuid(const uuid_t *uuid)
{
	__be64 be;

	memcpy(&be, uuid, sizeof(be));
	return be64_to_cpu(be);
}

static uuid_t ivpci_gid_to_uuid(u64 gid, u64 extension)
{
	__be64 be[2] = {cpu_to_be64(gid), cpu_to_be64(extension)};
	uuid_t uuid;

	memcpy(&uuid, be, sizeof(uuid));
	return uuid;
}

const char ivpci_client_kind[] = "dibs";

static u16 ivpci_get_fabric_id(struct dibs_dev *dibs)
{
	struct ivpci *ivpci = dibs->drv_priv;

	return ivpci->identity.fabric_id;
}

/* Our own GID is not reachable: within one guest SMC has its loopback device. */
static int ivpci_query_remote_gid(struct dibs_dev *dibs, const uuid_t *rgid, u32 vid_valid, u32 vid)
{
	struct ivpci *ivpci = dibs->drv_priv;

	if (!ivpci_may_begin(ivpci) || !ivpci_peer_by_gid(ivpci, ivpci_gid_from_uuid(rgid)))
		return -ENETUNREACH;
	if (!ivpci_header_trusted(ivpci)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_HEADER);
		return -ENETUNREACH;
	}
	return 0;
}

static int ivpci_max_dmbs(void)
{
	return IVPCI_DMBS;
}

static int ivpci_register_dmb(struct dibs_dev *dibs, struct dibs_dmb *dmb,
			      struct dibs_client *client)
{
	struct ivpci *ivpci = dibs->drv_priv;
	struct ivpci_dmb own;
	unsigned long flags;
	u32 writer;
	void *addr;
	int rc;

	writer = ivpci_peer_by_gid(ivpci, ivpci_gid_from_uuid(&dmb->rgid));
	if (!writer) {
		ivpci_inc(ivpci, IVPCI_REFUSED_PEER);
		return -ENETUNREACH;
	}
	if (!ivpci_header_trusted(ivpci)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_HEADER);
		return -EACCES;
	}
	rc = ivpci_dmb_register(ivpci, writer, dmb->dmb_len, &own, &addr);
	if (rc)
		return rc;

	dmb->dmb_tok = own.token;
	dmb->idx = ivpci_token_index(own.token);
	dmb->cpu_addr = addr;
	dmb->dmb_len = own.len;
	/* SMC never unregisters a DMB whose dma_addr is 0 */
	dmb->dma_addr = pci_resource_start(ivpci->pdev, 2) + own.offset;

	spin_lock_irqsave(&dibs->lock, flags);
	dibs->dmb_clientid_arr[dmb->idx] = client->id;
	spin_unlock_irqrestore(&dibs->lock, flags);
	return 0;
}

static int ivpci_unregister_dmb(struct dibs_dev *dibs, struct dibs_dmb *dmb)
{
	unsigned long flags;

	if (dmb->idx >= IVPCI_DMBS)
		return -EINVAL;
	spin_lock_irqsave(&dibs->lock, flags);
	dibs->dmb_clientid_arr[dmb->idx] = NO_DIBS_CLIENT;
	spin_unlock_irqrestore(&dibs->lock, flags);
	return ivpci_dmb_unregister(dibs->drv_priv, dmb->dmb_tok);
}

static int ivpci_move_data(struct dibs_dev *dibs, u64 dmb_tok, unsigned int idx, bool sf,
			   unsigned int offset, void *data, unsigned int size)
{
	struct ivpci *ivpci = dibs->drv_priv;

	return ivpci_move(ivpci, dmb_tok, sf, offset, data, size);
}

static int ivpci_add_vlan_id(struct dibs_dev *dibs, u64 vlan_id)
{
	return vlan_id == IVPCI_ISM_RESERVED_VLANID ? 0 : -EOPNOTSUPP;
}

static int ivpci_del_vlan_id(struct dibs_dev *dibs, u64 vlan_id)
{
	return 0;
}

static int ivpci_signal_event(struct dibs_dev *dibs, const uuid_t *rgid, u32 trigger_irq,
			      u32 event_code, u64 info)
{
	struct ivpci *ivpci = dibs->drv_priv;
	u32 slot = ivpci_peer_by_gid(ivpci, ivpci_gid_from_uuid(rgid));

	return slot ? ivpci_send_event(ivpci, slot, event_code, info) : -ENETUNREACH;
}

static int ivpci_support_mmapped_rdmb(struct dibs_dev *dibs)
{
	return ivpci_nocopy;
}

static int ivpci_attach_dmb(struct dibs_dev *dibs, struct dibs_dmb *dmb)
{
	struct ivpci *ivpci = dibs->drv_priv;
	struct ivpci_dmb theirs;
	void *addr;
	int rc;

	rc = ivpci_attach(ivpci, dmb->dmb_tok, &theirs, &addr);
	if (rc == -ENOMEM)
		ivpci_inc(ivpci, IVPCI_REFUSED_MEMORY);
	if (rc)
		return rc;
	dmb->idx = ivpci_token_index(theirs.token);
	dmb->cpu_addr = addr;
	dmb->dmb_len = theirs.len;
	dmb->dma_addr = pci_resource_start(ivpci->pdev, 2) + (addr - ivpci->shm);
	return 0;
}

static int ivpci_detach_dmb(struct dibs_dev *dibs, u64 token)
{
	return ivpci_detach(dibs->drv_priv, token);
}

void ivpci_client_signal(struct ivpci *ivpci, u32 index)
{
	struct dibs_dev *dibs = smp_load_acquire(&ivpci->dibs);
	struct dibs_client *client;
	unsigned long flags;
	u8 id;

	if (!dibs)
		return;
	spin_lock_irqsave(&dibs->lock, flags);
	id = dibs->dmb_clientid_arr[index];
	client = id < MAX_DIBS_CLIENTS ? dibs->subs[id] : NULL;
	if (client)
		client->ops->handle_irq(dibs, index, 0);
	spin_unlock_irqrestore(&dibs->lock, flags);
}

static void ivpci_client_handle(struct ivpci *ivpci, const struct dibs_event *event)
{
	struct dibs_dev *dibs = smp_load_acquire(&ivpci->dibs);
	unsigned long flags;
	int i;

	if (!dibs)
		return;
	spin_lock_irqsave(&dibs->lock, flags);
	for (i = 0; i < MAX_DIBS_CLIENTS; i++)
		if (dibs->subs[i])
			dibs->subs[i]->ops->handle_event(dibs, event);
	spin_unlock_irqrestore(&dibs->lock, flags);
}

/* smc_smcd_terminate() (7.3, net/smc/smc_core.c) compares with
 *	a->gid == b->gid && !emulated ? 1 : a->gid_ext == b->gid_ext
 * where ?: binds last: on a fabric that is not "emulated" a different GID with an equal
 * extension matches too, and SMC keeps 0 as every peer's extension there. The loss of one
 * guest would end the connections with all. An extension no peer has keeps it to the one.
 */
#define IVPCI_EVENT_GID_EXTENSION (~0ULL)

void ivpci_client_event(struct ivpci *ivpci, u64 gid, u32 code, u64 info)
{
	struct dibs_event event = {
		.type = DIBS_SW_EVENT,
		.subtype = code,
		.gid = ivpci_gid_to_uuid(gid, IVPCI_EVENT_GID_EXTENSION),
		.data = info,
	};

	if (gid) /* 0 would mean "all peers" */
		ivpci_client_handle(ivpci, &event);
}

void ivpci_client_peer_lost(struct ivpci *ivpci, u64 gid)
{
	struct dibs_event event = {
		.type = DIBS_DEV_EVENT,
		.subtype = DIBS_DEV_DISABLED,
		.gid = ivpci_gid_to_uuid(gid, IVPCI_EVENT_GID_EXTENSION),
	};

	if (gid)
		ivpci_client_handle(ivpci, &event);
}

static const struct dibs_dev_ops ivpci_dibs_ops = {
	.get_fabric_id = ivpci_get_fabric_id,
	.query_remote_gid = ivpci_query_remote_gid,
	.max_dmbs = ivpci_max_dmbs,
	.register_dmb = ivpci_register_dmb,
	.unregister_dmb = ivpci_unregister_dmb,
	.move_data = ivpci_move_data,
	.add_vlan_id = ivpci_add_vlan_id,
	.del_vlan_id = ivpci_del_vlan_id,
	.signal_event = ivpci_signal_event,
	.support_mmapped_rdmb = ivpci_support_mmapped_rdmb,
	.attach_dmb = ivpci_attach_dmb,
	.detach_dmb = ivpci_detach_dmb,
};

/* Called when joined, with a GID. Process context. */
int ivpci_client_add(struct ivpci *ivpci)
{
	struct dibs_dev *dibs = ivpci->dibs;
	int rc;

	if (dibs) {
		/* who has just read the former one is refused by its peer */
		dibs->gid = ivpci_gid_to_uuid(ivpci->gid, 0);
		return 0;
	}
	dibs = dibs_dev_alloc();
	if (!dibs)
		return -ENOMEM;
	dibs->ops = &ivpci_dibs_ops;
	dibs->drv_priv = ivpci;
	dibs->gid = ivpci_gid_to_uuid(ivpci->gid, 0);
	dibs->dev.parent = &ivpci->pdev->dev;
	rc = dev_set_name(&dibs->dev, "ivpci%d", ivpci->number);
	if (rc)
		goto put;
	/* before SMC knows the device: a signal for its first DMB must not find nobody */
	smp_store_release(&ivpci->dibs, dibs);
	rc = dibs_dev_add(dibs);
	if (rc)
		goto clear;
	return 0;

clear:
	smp_store_release(&ivpci->dibs, NULL);
	ivpci_irq_quiesce(ivpci);
put:
	put_device(&dibs->dev);
	return rc;
}

/* SMC ends its connections and gives its DMBs back before this returns. The caller has
 * stopped nothing yet: CDC messages of that ending still go out.
 */
void ivpci_client_del(struct ivpci *ivpci)
{
	struct dibs_dev *dibs = ivpci->dibs;

	if (!dibs)
		return;
	dibs_dev_del(dibs);
	smp_store_release(&ivpci->dibs, NULL);
	/* a tasklet may still be inside a handler's lock */
	ivpci_irq_quiesce(ivpci);
	put_device(&dibs->dev);
}
