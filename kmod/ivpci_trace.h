/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints, /sys/kernel/tracing/events/ivpci.
 */
/* The macros below have a layout of their own. */
/* clang-format off */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ivpci

#if !defined(IVPCI_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define IVPCI_TRACE_H

#include <linux/tracepoint.h>

/* A DMB of ours. @slot: the guest that writes into it. */
DECLARE_EVENT_CLASS(ivpci_dmb,
	TP_PROTO(int device, u64 token, u32 slot, u32 len),
	TP_ARGS(device, token, slot, len),
	TP_STRUCT__entry(
		__field(int, device)
		__field(u64, token)
		__field(u32, slot)
		__field(u32, len)
	),
	TP_fast_assign(
		__entry->device = device;
		__entry->token = token;
		__entry->slot = slot;
		__entry->len = len;
	),
	TP_printk("ivpci%d token=%016llx writer=%u len=%u", __entry->device, __entry->token,
		  __entry->slot, __entry->len)
);
DEFINE_EVENT(ivpci_dmb, ivpci_register,
	TP_PROTO(int device, u64 token, u32 slot, u32 len),
	TP_ARGS(device, token, slot, len));
DEFINE_EVENT(ivpci_dmb, ivpci_unregister,
	TP_PROTO(int device, u64 token, u32 slot, u32 len),
	TP_ARGS(device, token, slot, len));

/* A peer's DMB as send buffer here. */
DECLARE_EVENT_CLASS(ivpci_attachment,
	TP_PROTO(int device, u64 token, int rc),
	TP_ARGS(device, token, rc),
	TP_STRUCT__entry(
		__field(int, device)
		__field(u64, token)
		__field(int, rc)
	),
	TP_fast_assign(
		__entry->device = device;
		__entry->token = token;
		__entry->rc = rc;
	),
	TP_printk("ivpci%d token=%016llx rc=%d", __entry->device, __entry->token, __entry->rc)
);
DEFINE_EVENT(ivpci_attachment, ivpci_attach,
	TP_PROTO(int device, u64 token, int rc), TP_ARGS(device, token, rc));
DEFINE_EVENT(ivpci_attachment, ivpci_detach,
	TP_PROTO(int device, u64 token, int rc), TP_ARGS(device, token, rc));

/* A write into a peer's DMB that passed here (with mapped send buffers: the cursors). */
TRACE_EVENT(ivpci_move,
	TP_PROTO(int device, u64 token, u32 offset, u32 size, bool signal, int rc),
	TP_ARGS(device, token, offset, size, signal, rc),
	TP_STRUCT__entry(
		__field(int, device)
		__field(u64, token)
		__field(u32, offset)
		__field(u32, size)
		__field(bool, signal)
		__field(int, rc)
	),
	TP_fast_assign(
		__entry->device = device;
		__entry->token = token;
		__entry->offset = offset;
		__entry->size = size;
		__entry->signal = signal;
		__entry->rc = rc;
	),
	TP_printk("ivpci%d token=%016llx offset=%u size=%u signal=%d rc=%d", __entry->device,
		  __entry->token, __entry->offset, __entry->size, __entry->signal, __entry->rc)
);

TRACE_EVENT(ivpci_doorbell,
	TP_PROTO(int device, u32 slot, u32 vector, bool skipped),
	TP_ARGS(device, slot, vector, skipped),
	TP_STRUCT__entry(
		__field(int, device)
		__field(u32, slot)
		__field(u32, vector)
		__field(bool, skipped)
	),
	TP_fast_assign(
		__entry->device = device;
		__entry->slot = slot;
		__entry->vector = vector;
		__entry->skipped = skipped;
	),
	TP_printk("ivpci%d slot=%u vector=%u %s", __entry->device, __entry->slot,
		  __entry->vector, __entry->skipped ? "skipped" : "rung")
);

/* @generation 0: the peer left. */
TRACE_EVENT(ivpci_peer,
	TP_PROTO(int device, u32 slot, u32 generation, u64 gid),
	TP_ARGS(device, slot, generation, gid),
	TP_STRUCT__entry(
		__field(int, device)
		__field(u32, slot)
		__field(u32, generation)
		__field(u64, gid)
	),
	TP_fast_assign(
		__entry->device = device;
		__entry->slot = slot;
		__entry->generation = generation;
		__entry->gid = gid;
	),
	TP_printk("ivpci%d slot=%u generation=%u gid=%016llx", __entry->device, __entry->slot,
		  __entry->generation, __entry->gid)
);

#endif /* IVPCI_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE ivpci_trace
#include <trace/define_trace.h>
