// SPDX-License-Identifier: GPL-2.0-only
/* Drivers register with SMC itself: until Linux 6.2 */
#include <net/smc.h>

static u16 probe_chid(struct smcd_dev *smcd)
{
	return 0;
}

static u8 *probe_eid(void)
{
	return NULL;
}

static int probe_query(struct smcd_dev *smcd, u64 rgid, u32 vid_valid, u32 vid)
{
	return 0;
}

static __maybe_unused int probe(struct device *parent, struct smcd_event *event)
{
	static const struct smcd_ops ops = {
		.query_remote_gid = probe_query,
		.get_system_eid = probe_eid,
		.get_chid = probe_chid,
	};
	struct smcd_dev *smcd = smcd_alloc_dev(parent, "probe", &ops, 1);

	smcd_handle_event(smcd, event);
	smcd_handle_irq(smcd, 0, 0);
	return smcd_register_dev(smcd);
}
