// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's side before DIBS: an smcd device (Linux 6.1, include/net/smc.h). SMC there knows
 * no mapped remote DMBs: it has send buffers of its own, and all of them pass ivpci_move().
 */
#include <linux/delay.h>
#include <linux/srcu.h>
#include <net/smc.h>

#include "ivpci.h"

const char ivpci_client_kind[] = "smcd";

#define IVPCI_EID_LEN 32 /* SMC_MAX_EID_LEN, which is net/smc's own */

/* SMC may have found the device just before it went, and call an op afterwards. `priv` is NULL
 * then, and nobody is inside an op when the device is freed.
 */
DEFINE_STATIC_SRCU(ivpci_ops_srcu);

static struct ivpci *ivpci_op_begin(struct smcd_dev *smcd, int *cookie)
{
	struct ivpci *ivpci;

	*cookie = srcu_read_lock(&ivpci_ops_srcu);
	ivpci = READ_ONCE(smcd->priv);
	if (!ivpci)
		srcu_read_unlock(&ivpci_ops_srcu, *cookie);
	return ivpci;
}

static void ivpci_op_end(int cookie)
{
	srcu_read_unlock(&ivpci_ops_srcu, cookie);
}

/* Our own GID is not reachable: SMC would talk to itself through the region. */
static int ivpci_query_remote_gid(struct smcd_dev *smcd, u64 rgid, u32 vid_valid, u32 vid)
{
	int cookie, rc = 0;
	struct ivpci *ivpci = ivpci_op_begin(smcd, &cookie);

	if (!ivpci)
		return -ENODEV;
	if (!ivpci_may_begin(ivpci) || !ivpci_peer_by_gid(ivpci, rgid)) {
		rc = -ENETUNREACH;
	} else if (!ivpci_header_trusted(ivpci)) {
		ivpci_inc(ivpci, IVPCI_REFUSED_HEADER);
		rc = -ENETUNREACH;
	}
	ivpci_op_end(cookie);
	return rc;
}

static int ivpci_register(struct ivpci *ivpci, struct smcd_dmb *dmb)
{
	u32 writer = ivpci_peer_by_gid(ivpci, dmb->rgid);
	struct ivpci_dmb own;
	void *addr;
	int rc;

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
	dmb->sba_idx = ivpci_token_index(own.token);
	dmb->cpu_addr = addr;
	dmb->dmb_len = own.len;
	/* SMC never unregisters a DMB whose dma_addr is 0 */
	dmb->dma_addr = pci_resource_start(ivpci->pdev, 2) + own.offset;
	return 0;
}

static int ivpci_register_dmb(struct smcd_dev *smcd, struct smcd_dmb *dmb)
{
	int cookie, rc;
	struct ivpci *ivpci = ivpci_op_begin(smcd, &cookie);

	if (!ivpci)
		return -ENODEV;
	rc = ivpci_register(ivpci, dmb);
	ivpci_op_end(cookie);
	return rc;
}

static int ivpci_unregister_dmb(struct smcd_dev *smcd, struct smcd_dmb *dmb)
{
	int cookie, rc;
	struct ivpci *ivpci = ivpci_op_begin(smcd, &cookie);

	if (!ivpci)
		return -ENODEV;
	rc = ivpci_dmb_unregister(ivpci, dmb->dmb_tok);
	ivpci_op_end(cookie);
	return rc;
}

/* SMC calls this with bottom halves off, under its send_lock. */
static int ivpci_move_data(struct smcd_dev *smcd, u64 dmb_tok, unsigned int idx, bool sf,
			   unsigned int offset, void *data, unsigned int size)
{
	int cookie, rc;
	struct ivpci *ivpci = ivpci_op_begin(smcd, &cookie);

	if (!ivpci)
		return -ENODEV;
	rc = ivpci_move(ivpci, dmb_tok, sf, offset, data, size);
	ivpci_op_end(cookie);
	return rc;
}

/* SMC calls this under smcd->lock. SMC-Dv2 is offered only on devices that accept this id. */
static int ivpci_add_vlan_id(struct smcd_dev *smcd, u64 vlan_id)
{
	return vlan_id == ISM_RESERVED_VLANID ? 0 : -EOPNOTSUPP;
}

static int ivpci_del_vlan_id(struct smcd_dev *smcd, u64 vlan_id)
{
	return 0;
}

/* No caller in SMC; VLANs are not ours. */
static int ivpci_no_vlan_required(struct smcd_dev *smcd)
{
	return -EOPNOTSUPP;
}

static int ivpci_signal_event(struct smcd_dev *smcd, u64 rgid, u32 trigger_irq, u32 event_code,
			      u64 info)
{
	int cookie, rc = -ENETUNREACH;
	struct ivpci *ivpci = ivpci_op_begin(smcd, &cookie);
	u32 slot;

	if (!ivpci)
		return -ENODEV;
	slot = ivpci_peer_by_gid(ivpci, rgid);
	if (slot)
		rc = ivpci_send_event(ivpci, slot, event_code, info);
	ivpci_op_end(cookie);
	return rc;
}

/* SMC asks the first device for the machine's system EID, without saying which device that is,
 * and takes zeros in its last digits for "no SMC-Dv2". Guests of one region share a machine, so
 * they have the same one; on x86 it counts only where somebody enabled it (`smcd seid enable`),
 * else members need a user EID in common.
 */
static u8 ivpci_system_eid[IVPCI_EID_LEN + 1];
static DEFINE_MUTEX(ivpci_system_eid_lock);

static u8 *ivpci_get_system_eid(void)
{
	return ivpci_system_eid;
}

static int ivpci_register_smcd(struct ivpci *ivpci, struct smcd_dev *smcd)
{
	int rc;

	mutex_lock(&ivpci_system_eid_lock);
	snprintf(ivpci_system_eid, sizeof(ivpci_system_eid), "IVPCI-%8phN          ",
		 ivpci->identity.uuid);
	rc = smcd_register_dev(smcd);
	mutex_unlock(&ivpci_system_eid_lock);
	return rc;
}

static u16 ivpci_get_chid(struct smcd_dev *smcd)
{
	int cookie;
	struct ivpci *ivpci = ivpci_op_begin(smcd, &cookie);
	u16 chid;

	if (!ivpci)
		return 0;
	chid = ivpci->identity.fabric_id;
	WRITE_ONCE(ivpci->offered, jiffies);
	ivpci_op_end(cookie);
	return chid;
}

void ivpci_client_signal(struct ivpci *ivpci, u32 index)
{
	struct smcd_dev *smcd = smp_load_acquire(&ivpci->smcd);

	if (smcd)
		smcd_handle_irq(smcd, index, 0);
}

/* smcd_handle_event() may not run beside smcd_unregister_dev(), which destroys the workqueue it
 * queues on.
 */
static DEFINE_SPINLOCK(ivpci_events_lock);

static void ivpci_events_allow(struct ivpci *ivpci, bool allow)
{
	spin_lock_bh(&ivpci_events_lock);
	ivpci->smcd_events = allow;
	spin_unlock_bh(&ivpci_events_lock);
}

static void ivpci_client_handle(struct ivpci *ivpci, struct smcd_event *event)
{
	if (!event->tok) /* 0 would mean "all peers" */
		return;
	spin_lock_bh(&ivpci_events_lock);
	if (ivpci->smcd_events)
		smcd_handle_event(ivpci->smcd, event);
	spin_unlock_bh(&ivpci_events_lock);
}

void ivpci_client_event(struct ivpci *ivpci, u64 gid, u32 code, u64 info)
{
	struct smcd_event event = {
		.type = ISM_EVENT_SWR,
		.code = code,
		.tok = gid,
		.info = info,
	};

	ivpci_client_handle(ivpci, &event);
}

void ivpci_client_peer_lost(struct ivpci *ivpci, u64 gid)
{
	struct smcd_event event = {
		.type = ISM_EVENT_GID,
		.tok = gid,
	};

	ivpci_client_handle(ivpci, &event);
}

static const struct smcd_ops ivpci_smcd_ops = {
	.query_remote_gid = ivpci_query_remote_gid,
	.register_dmb = ivpci_register_dmb,
	.unregister_dmb = ivpci_unregister_dmb,
	.add_vlan_id = ivpci_add_vlan_id,
	.del_vlan_id = ivpci_del_vlan_id,
	.set_vlan_required = ivpci_no_vlan_required,
	.reset_vlan_required = ivpci_no_vlan_required,
	.signal_event = ivpci_signal_event,
	.move_data = ivpci_move_data,
	.get_system_eid = ivpci_get_system_eid,
	.get_chid = ivpci_get_chid,
};

/* Who is just making a connection has a bare pointer to the device that it offered, until its peer has
 * answered: CLC_WAIT_TIME in net/smc/smc_clc.h, and a second more for what comes after.
 */
#define IVPCI_OFFER_TIME (7 * HZ)

/* Called when joined, with a GID. Process context. */
int ivpci_client_add(struct ivpci *ivpci)
{
	struct smcd_dev *smcd;
	char name[16];
	int rc;

	if (ivpci->smcd) {
		WRITE_ONCE(ivpci->smcd->local_gid, ivpci->gid);
		return 0;
	}
	snprintf(name, sizeof(name), "ivpci%d", ivpci->number);
	/* the parent is the PCI device: SMC calls to_pci_dev() on it */
	smcd = smcd_alloc_dev(&ivpci->pdev->dev, name, &ivpci_smcd_ops, IVPCI_DMBS);
	if (!smcd)
		return -ENOMEM;
	ivpci->offered = jiffies - IVPCI_OFFER_TIME;
	smcd->priv = ivpci;
	smcd->local_gid = ivpci->gid;
	/* before SMC knows the device: a signal for its first DMB must not find nobody */
	smp_store_release(&ivpci->smcd, smcd);
	rc = ivpci_register_smcd(ivpci, smcd);
	if (rc)
		goto clear;
	ivpci_events_allow(ivpci, true);
	return 0;

clear:
	smp_store_release(&ivpci->smcd, NULL);
	ivpci_irq_quiesce(ivpci);
	WRITE_ONCE(smcd->priv, NULL);
	synchronize_srcu(&ivpci_ops_srcu);
	/* what smcd_unregister_dev() does and smcd_free_dev() does not */
	destroy_workqueue(smcd->event_wq);
	smcd_free_dev(smcd);
	return rc;
}

/* SMC ends its connections and gives its DMBs back before this returns. The caller has
 * stopped nothing yet: CDC messages of that ending still go out.
 */
void ivpci_client_del(struct ivpci *ivpci)
{
	struct smcd_dev *smcd = ivpci->smcd;

	if (!smcd)
		return;
	ivpci_events_allow(ivpci, false);
	smcd_unregister_dev(smcd);
	WRITE_ONCE(smcd->priv, NULL);
	synchronize_srcu(&ivpci_ops_srcu);
	/* a connection that was being made meanwhile: it finds no device and gives up */
	wait_event(smcd->lgrs_deleted, !atomic_read(&smcd->lgr_cnt));
	smp_store_release(&ivpci->smcd, NULL);
	/* a tasklet may still be inside a handler's lock */
	ivpci_irq_quiesce(ivpci);
	/* SMC counts its last link group down, then wakes who waits for that */
	msleep(20);
	while (time_before(jiffies, READ_ONCE(ivpci->offered) + IVPCI_OFFER_TIME))
		msleep(50);
	smcd_free_dev(smcd);
}
