// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/class/misc/ivpciN: slot, generation, gid, region_uuid, region_size, fabric_id, smc (what is made for SMC:
 * dibs or smcd, the kernel's interface, or none), broker_away, header_trusted (0: see ivpci_guard.c),
 * members (slot, generation and GID of each live peer, a line each), and stats/, one
 * counter a file, named as in struct ivpci_stats.
 */
#include <linux/sysfs.h>

#include "ivpci.h"

u64 ivpci_counter(struct ivpci *ivpci, enum ivpci_counter c)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu) sum += READ_ONCE(per_cpu_ptr(ivpci->counters, cpu)->n[c]);
	return sum;
}

/* misc_create_device() made `dev` with the miscdevice as its driver data. */
static struct ivpci *to_ivpci(struct device *dev)
{
	return ivpci_of_miscdevice(dev_get_drvdata(dev));
}

#define IVPCI_ATTR(name, format, value)                                                          \
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf) \
	{                                                                                        \
		struct ivpci *ivpci = to_ivpci(dev);                                             \
                                                                                                 \
		return sysfs_emit(buf, format "\n", value);                                      \
	}                                                                                        \
	static DEVICE_ATTR_RO(name)

IVPCI_ATTR(slot, "%u", ivpci->slot);
IVPCI_ATTR(generation, "%u", READ_ONCE(ivpci->generation));
IVPCI_ATTR(gid, "%016llx", READ_ONCE(ivpci->generation) ? ivpci->gid : 0);
IVPCI_ATTR(region_uuid, "%pUb", ivpci->identity.uuid);
IVPCI_ATTR(region_size, "%llu", ivpci->layout.size);
IVPCI_ATTR(fabric_id, "0x%04x", ivpci->identity.fabric_id);
IVPCI_ATTR(broker_away, "%d", READ_ONCE(ivpci->broker_away));
IVPCI_ATTR(header_trusted, "%d", ivpci_header_trusted(ivpci));

static ssize_t smc_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", ivpci_client_kind);
}
static DEVICE_ATTR_RO(smc);

static ssize_t members_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct ivpci *ivpci = to_ivpci(dev);
	u32 slot, generation;
	int at = 0;

	for (slot = 1; slot <= ivpci->layout.slots; slot++) {
		generation = ivpci_peer_generation(ivpci, slot);
		if (generation)
			at += sysfs_emit_at(buf, at, "%u %u %016llx\n", slot, generation,
					    READ_ONCE(ivpci->peers[slot].gid));
	}
	return at;
}
static DEVICE_ATTR_RO(members);

static struct attribute *ivpci_attrs[] = {
	&dev_attr_slot.attr,
	&dev_attr_generation.attr,
	&dev_attr_gid.attr,
	&dev_attr_region_uuid.attr,
	&dev_attr_region_size.attr,
	&dev_attr_fabric_id.attr,
	&dev_attr_smc.attr,
	&dev_attr_broker_away.attr,
	&dev_attr_header_trusted.attr,
	&dev_attr_members.attr,
	NULL,
};

static const struct attribute_group ivpci_group = {.attrs = ivpci_attrs};

IVPCI_ATTR(dmbs, "%u", READ_ONCE(ivpci->nr_dmbs));
IVPCI_ATTR(dmbs_parked, "%u", READ_ONCE(ivpci->nr_parked));
IVPCI_ATTR(dmb_bytes, "%llu", READ_ONCE(ivpci->dmb_bytes));
IVPCI_ATTR(chunks, "%u", READ_ONCE(ivpci->nr_chunks));
IVPCI_ATTR(attachments, "%d", atomic_read(&ivpci->nr_attachments));
IVPCI_ATTR(rings, "%u", READ_ONCE(ivpci->nr_rings));
IVPCI_ATTR(rings_attached, "%d", atomic_read(&ivpci->nr_rings_attached));
IVPCI_ATTR(registered, "%llu", ivpci_counter(ivpci, IVPCI_REGISTERED));
IVPCI_ATTR(refused_full, "%llu", ivpci_counter(ivpci, IVPCI_REFUSED_FULL));
IVPCI_ATTR(refused_index, "%llu", ivpci_counter(ivpci, IVPCI_REFUSED_INDEX));
IVPCI_ATTR(refused_peer, "%llu", ivpci_counter(ivpci, IVPCI_REFUSED_PEER));
IVPCI_ATTR(bytes_sent, "%llu", ivpci_counter(ivpci, IVPCI_BYTES_SENT));
IVPCI_ATTR(signals_sent, "%llu", ivpci_counter(ivpci, IVPCI_SIGNALS_SENT));
IVPCI_ATTR(doorbells_sent, "%llu", ivpci_counter(ivpci, IVPCI_DOORBELLS_SENT));
IVPCI_ATTR(doorbells_skipped, "%llu", ivpci_counter(ivpci, IVPCI_DOORBELLS_SKIPPED));
IVPCI_ATTR(ring_overflows, "%llu", ivpci_counter(ivpci, IVPCI_RING_OVERFLOWS));
IVPCI_ATTR(interrupts, "%llu", ivpci_counter(ivpci, IVPCI_INTERRUPTS));
IVPCI_ATTR(signals_received, "%llu", ivpci_counter(ivpci, IVPCI_SIGNALS_RECEIVED));
IVPCI_ATTR(full_scans, "%llu", ivpci_counter(ivpci, IVPCI_FULL_SCANS));
IVPCI_ATTR(events_sent, "%llu", ivpci_counter(ivpci, IVPCI_EVENTS_SENT));
IVPCI_ATTR(events_received, "%llu", ivpci_counter(ivpci, IVPCI_EVENTS_RECEIVED));
IVPCI_ATTR(peers_lost, "%llu", ivpci_counter(ivpci, IVPCI_PEERS_LOST));
IVPCI_ATTR(polls, "%llu", ivpci_counter(ivpci, IVPCI_POLLS));
IVPCI_ATTR(poll_hits, "%llu", ivpci_counter(ivpci, IVPCI_POLL_HITS));
IVPCI_ATTR(poll_ns, "%llu", ivpci_counter(ivpci, IVPCI_POLL_NS));
IVPCI_ATTR(poll_rests, "%llu", ivpci_counter(ivpci, IVPCI_POLL_RESTS));
IVPCI_ATTR(refused_broker, "%llu", ivpci_counter(ivpci, IVPCI_REFUSED_BROKER));
IVPCI_ATTR(refused_memory, "%llu", ivpci_counter(ivpci, IVPCI_REFUSED_MEMORY));
IVPCI_ATTR(refused_header, "%llu", ivpci_counter(ivpci, IVPCI_REFUSED_HEADER));
IVPCI_ATTR(header_tampered, "%llu", ivpci_counter(ivpci, IVPCI_HEADER_TAMPERED));
IVPCI_ATTR(peers_silent, "%llu", ivpci_counter(ivpci, IVPCI_PEERS_SILENT));

static struct attribute *ivpci_stats_attrs[] = {
	&dev_attr_dmbs.attr,
	&dev_attr_dmbs_parked.attr,
	&dev_attr_dmb_bytes.attr,
	&dev_attr_chunks.attr,
	&dev_attr_attachments.attr,
	&dev_attr_rings.attr,
	&dev_attr_rings_attached.attr,
	&dev_attr_registered.attr,
	&dev_attr_refused_full.attr,
	&dev_attr_refused_index.attr,
	&dev_attr_refused_peer.attr,
	&dev_attr_bytes_sent.attr,
	&dev_attr_signals_sent.attr,
	&dev_attr_doorbells_sent.attr,
	&dev_attr_doorbells_skipped.attr,
	&dev_attr_ring_overflows.attr,
	&dev_attr_interrupts.attr,
	&dev_attr_signals_received.attr,
	&dev_attr_full_scans.attr,
	&dev_attr_events_sent.attr,
	&dev_attr_events_received.attr,
	&dev_attr_peers_lost.attr,
	&dev_attr_polls.attr,
	&dev_attr_poll_hits.attr,
	&dev_attr_poll_ns.attr,
	&dev_attr_poll_rests.attr,
	&dev_attr_refused_broker.attr,
	&dev_attr_refused_memory.attr,
	&dev_attr_refused_header.attr,
	&dev_attr_header_tampered.attr,
	&dev_attr_peers_silent.attr,
	NULL,
};

static const struct attribute_group ivpci_stats_group = {
	.name = "stats",
	.attrs = ivpci_stats_attrs,
};

const struct attribute_group *ivpci_sysfs_groups[] = {
	&ivpci_group,
	&ivpci_stats_group,
	NULL,
};
