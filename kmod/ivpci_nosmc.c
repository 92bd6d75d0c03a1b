// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's side where it has no SMC-D devices, or none that a module from outside can make: nobody.
 * What the region's memory is used for there are rings (ivpci_rings.h).
 */
#include "ivpci.h"

const char ivpci_client_kind[] = "none";

int ivpci_client_add(struct ivpci *ivpci)
{
	dev_info_once(&ivpci->pdev->dev, "no SMC device: this kernel has no SMC that takes one\n");
	return 0;
}

void ivpci_client_del(struct ivpci *ivpci)
{
}

void ivpci_client_signal(struct ivpci *ivpci, u32 index)
{
}

void ivpci_client_event(struct ivpci *ivpci, u64 gid, u32 code, u64 info)
{
}

void ivpci_client_peer_lost(struct ivpci *ivpci, u64 gid)
{
}
