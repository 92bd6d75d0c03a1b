// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard of services: SMC was offered to an address that is rewritten on the way; here, where
 * the SYN leaves the guest, it is plain where it goes. If that is no guest of this host that we
 * are linked with, or the rules say no, the option becomes NOPs, and the connection is TCP.
 *
 * guard_leaving is on all devices of the root network namespace (tcx egress), behind the programs
 * that are there already. device_opened counts devices that begin to send, so that none is
 * forgotten: the handshake makes no offers until the agent has guarded it.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/maps.h"
#include "lib/match.h"
#include "lib/same_host.h"
#include "lib/services.h"

char LICENSE[] SEC("license") = "GPL";

#define TCX_NEXT -1
#define TCX_DROP 2

#define TCP_HEADER    20
#define TCP_SYN	      2
#define TCP_ACK	      16
#define TCP_CHECK     16 /* offset */
#define TCPOPT_EOL    0
#define TCPOPT_NOP    1
#define SMC_OPTION    6		 /* its length */
#define SMC_MAGIC     0xe2d4c3d9 /* RFC 7609: "SMCR" in EBCDIC */
#define OPTIONS_MAX   40
#define EXTENSIONS    6 /* IPv6 headers looked behind */
#define IPPROTO_HOP   0
#define IPPROTO_ROUTE 43
#define IPPROTO_FRAG  44
#define IPPROTO_DST   60

struct sk_buff {
	unsigned char *head;
	unsigned char *data;
	__u16 network_header;
} CORE;

struct net_device {
	possible_net_t nd_net;
} CORE;

void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

/* A SYN that is sent, or forwarded. */
struct syn {
	struct steer_address from;
	struct steer_address to;
	__u32 tcp; /* offset of its header from skb->data */
	__u32 isn;
	__u16 port;
	__u8 routed;  /* a routing header: `to` is not the end of the way */
	__u8 options; /* bytes of them */
};

static __always_inline bool find_v4(struct __sk_buff *skb, __u32 at, struct syn *s)
{
	__u8 ip[20];
	__be32 from, to;

	if (bpf_skb_load_bytes(skb, at, ip, sizeof(ip)))
		return false;
	/* a later fragment has no TCP header */
	if (ip[9] != IPPROTO_TCP || (ip[6] & 0x1f) || ip[7])
		return false;
	__builtin_memcpy(&from, ip + 12, sizeof(from));
	__builtin_memcpy(&to, ip + 16, sizeof(to));
	address_from_v4(&s->from, from);
	address_from_v4(&s->to, to);
	s->tcp = at + (ip[0] & 15) * 4;
	return true;
}

static __always_inline bool find_v6(struct __sk_buff *skb, __u32 at, struct syn *s)
{
	__u8 ip[40], extension[4], next;
	int i;

	if (bpf_skb_load_bytes(skb, at, ip, sizeof(ip)))
		return false;
	address_from_v6(&s->from, ip + 8);
	address_from_v6(&s->to, ip + 24);
	next = ip[6];
	at += sizeof(ip);
	for (i = 0; i < EXTENSIONS && next != IPPROTO_TCP; i++) {
		if (bpf_skb_load_bytes(skb, at, extension, sizeof(extension)))
			return false;
		switch (next) {
		case IPPROTO_FRAG:
			if (extension[2] || extension[3] & 0xf8)
				return false;
			at += 8;
			break;
		case IPPROTO_ROUTE:
			s->routed = 1;
			at += 8 + extension[1] * 8;
			break;
		case IPPROTO_HOP:
		case IPPROTO_DST:
			at += 8 + extension[1] * 8;
			break;
		default:
			return false;
		}
		next = extension[0];
	}
	s->tcp = at;
	return next == IPPROTO_TCP;
}

static __always_inline bool find_syn(struct __sk_buff *skb, struct syn *s)
{
	struct sk_buff *k = bpf_cast_to_kern_ctx(skb);
	__u32 at = (__u64)k->head + k->network_header - (__u64)k->data;
	__u8 version, tcp[TCP_HEADER];
	__be16 port;
	__be32 isn;

	if (bpf_skb_load_bytes(skb, at, &version, sizeof(version)))
		return false;
	version >>= 4;
	if (!(version == 4 && find_v4(skb, at, s)) && !(version == 6 && find_v6(skb, at, s)))
		return false;
	if (bpf_skb_load_bytes(skb, s->tcp, tcp, sizeof(tcp)))
		return false;
	if ((tcp[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return false;
	__builtin_memcpy(&port, tcp + 2, sizeof(port));
	__builtin_memcpy(&isn, tcp + 4, sizeof(isn));
	s->port = bpf_ntohs(port);
	s->isn = bpf_ntohl(isn);
	s->options = (tcp[12] >> 4) * 4 - TCP_HEADER;
	return (tcp[12] >> 4) * 4 > TCP_HEADER;
}

/* Where they could be, that the verifier knows it too: clang thinks that it was told already. */
static __always_inline bool has_room(__u64 *size)
{
	asm volatile("" : "+r"(*size));
	if (*size < SMC_OPTION)
		return false;
	asm volatile("" : "+r"(*size));
	return *size <= OPTIONS_MAX;
}

struct walk {
	__u32 at;
	__u32 length;
	__u8 found;
	__u8 option[OPTIONS_MAX + SMC_OPTION];
};

/* One option: its place is left in `at` if it is SMC's, or the next one's. */
static long walk_option(__u64 step, struct walk *w)
{
	__u32 at = w->at, magic;
	__u8 kind, size;

	if (at >= w->length || at >= OPTIONS_MAX)
		return 1;
	kind = w->option[at];
	if (kind == TCPOPT_EOL)
		return 1;
	if (kind == TCPOPT_NOP) {
		w->at = at + 1;
		return 0;
	}
	size = w->option[at + 1];
	if (size < 2)
		return 1;
	if (kind == STEER_TCPOPT_EXP && size == SMC_OPTION) {
		__builtin_memcpy(&magic, &w->option[at + 2], sizeof(magic));
		if (magic == bpf_htonl(SMC_MAGIC)) {
			w->found = 1;
			return 1;
		}
	}
	w->at = at + size;
	return 0;
}

/* By the rules of now, for the workload that was known when the offer was made. A SYN that went
 * to a peer's own address was judged then.
 */
static __always_inline bool rules_keep(const struct syn *s)
{
	struct steer_offer *offer = bpf_map_lookup_elem(&offers, &s->isn);
	struct steer_policy *p;
	struct match m;

	if (!offer)
		return true;
	p = match_begin(&m, s->port);
	if (!p || m.slot != offer->slot)
		return false;
	m.workload.used = offer->used;
	__builtin_memcpy(m.workload.id, offer->id, sizeof(m.workload.id));
	return match_peer(&m, p, &s->to) && match_allows(&m, p, STEER_OUT);
}

/* What a peer sent has come to us, on its way to a pod: its own guard has seen it, and the
 * listener's kernel asks the handshake about it.
 */
static __always_inline bool keeps_offer(const struct syn *s)
{
	const struct steer_peer *peer = same_host_peer(&s->to);

	if (!agent_alive() || s->routed)
		return false;
	if (!peer)
		return same_host_has(&s->from);
	return s->port == peer->link_port || (peer->linked && rules_keep(s));
}

/* False: the option is still there. */
static __always_inline bool take_off(struct __sk_buff *skb, const struct syn *s, struct walk *w)
{
	__u8 before[OPTIONS_MAX];
	__u64 size = s->options;
	__u32 i;
	__s64 difference;

	if (!has_room(&size))
		return false;
	__builtin_memcpy(before, w->option, sizeof(before));
	for (i = 0; i < SMC_OPTION; i++) {
		if (w->at + i < OPTIONS_MAX)
			w->option[w->at + i] = TCPOPT_NOP;
	}
	/* all of OPTIONS_MAX, what is behind the options is the same in both */
	difference = bpf_csum_diff((__be32 *)before, sizeof(before), (__be32 *)w->option,
				   OPTIONS_MAX, 0);
	return difference >= 0 &&
	       !bpf_skb_store_bytes(skb, s->tcp + TCP_HEADER, w->option, size, 0) &&
	       !bpf_l4_csum_replace(skb, s->tcp + TCP_CHECK, 0, difference, 0);
}

static __always_inline bool is_over(void)
{
	__u32 zero = 0;
	struct steer_control *c = bpf_map_lookup_elem(&control, &zero);

	return !c || bpf_ktime_get_ns() > c->lease_until_ns + STEER_GUARD_AFTER_NS;
}

SEC("tcx/egress")
int guard_leaving(struct __sk_buff *skb)
{
	struct syn s = {};
	struct walk w = {};
	__u64 size;

	if (is_over() || !find_syn(skb, &s))
		return TCX_NEXT;
	size = s.options;
	if (!has_room(&size))
		return TCX_NEXT;
	if (bpf_skb_load_bytes(skb, s.tcp + TCP_HEADER, w.option, size))
		return TCX_NEXT;
	w.length = size;
	bpf_loop(OPTIONS_MAX, walk_option, &w, 0);
	if (!w.found)
		return TCX_NEXT;
	if (keeps_offer(&s)) {
		count(STEER_GUARD_KEPT);
		return TCX_NEXT;
	}
	count(STEER_GUARD_TAKEN_OFF);
	/* TCP sends it again; the option may not go where it is not known */
	return take_off(skb, &s, &w) ? TCX_NEXT : TCX_DROP;
}

/* Before it nothing can be sent by the device. */
SEC("fentry/dev_activate")
int BPF_PROG(device_opened, struct net_device *dev)
{
	const struct steer_guard *g = the_guard();
	__u64 *devices = devices_opened();

	if (g && devices && dev->nd_net.net->ns.inum == g->netns)
		__sync_fetch_and_add(devices, 1);
	return 0;
}
