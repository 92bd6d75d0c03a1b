// SPDX-License-Identifier: GPL-2.0-only
/*
 * The SYN of a peer's SMC socket for a server that is no SMC socket goes to the agent's SMC
 * listener, on every device where such SYNs come in (tc ingress). The server stays reachable for
 * everybody else: a SYN without SMC's option, or from no peer, or that no rule with "adopt"
 * allows, is not touched.
 *
 * Not by sk_lookup: it takes listeners from a sockmap, and the socket inside an SMC listener must
 * not be in one, since sockmap and SMC both use its sk_user_data.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/maps.h"
#include "lib/match.h"
#include "lib/same_host.h"

#include <smc_steer/splice_abi.h>

char LICENSE[] SEC("license") = "GPL";

#define TC_ACT_UNSPEC (-1)
#define ETH_P_IP      0x0800
#define ETH_P_IPV6    0x86dd
#define IP_FRAGMENT   0x3fff /* offset, and that more follow */
#define FLAG_SYN      0x02
#define FLAG_ACK      0x10
#define OPTIONS_MAX   40
#define OPTION_END    0
#define OPTION_NOP    1
#define SMC_MAGIC     0xe2d4c3d9 /* RFC 7609, 2.1.1: "SMCR" in EBCDIC */
#define SMC_SIZE      6

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_SAME_HOST_MAX);
	__type(key, struct splice_own);
	__type(value, __u16);
} adopting SEC(".maps");

struct tcp_start {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack;
	__u8 words; /* of the header, in the upper half */
	__u8 flags;
	__be16 window;
	__be16 check;
	__be16 urgent;
};

struct syn {
	struct bpf_sock_tuple tuple;
	bool v4;
	struct steer_address from;
	struct steer_address to;
	__u16 port;
};

struct options {
	__u8 bytes[64];
	__u32 size;
	__u32 at;
	bool smc;
};

static long next_option(__u64 n, struct options *o)
{
	__u32 at = o->at;
	__u8 kind, size;

	if (at >= o->size || at >= OPTIONS_MAX)
		return 1;
	kind = o->bytes[at];
	if (kind == OPTION_END)
		return 1;
	if (kind == OPTION_NOP) {
		o->at = at + 1;
		return 0;
	}
	size = o->bytes[at + 1];
	if (size < 2)
		return 1;
	if (kind == STEER_TCPOPT_EXP && size >= SMC_SIZE && o->bytes[at + 2] == SMC_MAGIC >> 24 &&
	    o->bytes[at + 3] == (SMC_MAGIC >> 16 & 0xff) &&
	    o->bytes[at + 4] == (SMC_MAGIC >> 8 & 0xff) && o->bytes[at + 5] == (SMC_MAGIC & 0xff)) {
		o->smc = true;
		return 1;
	}
	o->at = at + size;
	return 0;
}

static __always_inline bool offers_smc(struct __sk_buff *skb, __u32 at, __u64 size)
{
	struct options o = {.size = size};

	if (size < SMC_SIZE || size > OPTIONS_MAX)
		return false;
	/* 1 to 64, for a verifier that did not follow clang so far */
	size--;
	asm volatile("%0 &= 0x3f" : "+r"(size));
	size++;
	if (bpf_skb_load_bytes_relative(skb, at, o.bytes, size, BPF_HDR_START_NET))
		return false;
	bpf_loop(OPTIONS_MAX, next_option, &o, 0);
	return o.smc;
}

/* A SYN with SMC's option? On a stack frame of its own, which goes before the rules are looked at:
 * together they would be too large.
 */
static __noinline bool read_syn(struct __sk_buff *skb, struct syn *s)
{
	struct tcp_start tcp;
	__u8 ip[40];
	__u32 at;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes_relative(skb, 0, ip, 20, BPF_HDR_START_NET))
			return false;
		if (ip[9] != IPPROTO_TCP || ((ip[6] << 8 | ip[7]) & IP_FRAGMENT))
			return false;
		at = (ip[0] & 0xf) * 4;
		__builtin_memcpy(&s->tuple.ipv4.saddr, ip + 12, 4);
		__builtin_memcpy(&s->tuple.ipv4.daddr, ip + 16, 4);
		address_from_v4(&s->from, s->tuple.ipv4.saddr);
		address_from_v4(&s->to, s->tuple.ipv4.daddr);
		s->v4 = true;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes_relative(skb, 0, ip, 40, BPF_HDR_START_NET))
			return false;
		if (ip[6] != IPPROTO_TCP)
			return false;
		at = 40;
		__builtin_memcpy(s->tuple.ipv6.saddr, ip + 8, 16);
		__builtin_memcpy(s->tuple.ipv6.daddr, ip + 24, 16);
		address_from_v6(&s->from, s->tuple.ipv6.saddr);
		address_from_v6(&s->to, s->tuple.ipv6.daddr);
	} else {
		return false;
	}
	if (bpf_skb_load_bytes_relative(skb, at, &tcp, sizeof(tcp), BPF_HDR_START_NET))
		return false;
	if ((tcp.flags & (FLAG_SYN | FLAG_ACK)) != FLAG_SYN)
		return false;
	s->port = bpf_ntohs(tcp.dest);
	if (s->v4) {
		s->tuple.ipv4.sport = tcp.source;
		s->tuple.ipv4.dport = tcp.dest;
	} else {
		s->tuple.ipv6.sport = tcp.source;
		s->tuple.ipv6.dport = tcp.dest;
	}
	return offers_smc(skb, at + sizeof(tcp), (tcp.words >> 4) * 4 - sizeof(tcp));
}

/* The port of the agent's listener, if the connection is one for it; else 0. */
static __noinline __u16 adopting_port(const struct syn *s, __u32 netns)
{
	struct splice_own own = {.netns = netns, .address = s->to};
	const struct steer_control *agent = living_agent();
	const struct steer_peer *peer = same_host_peer(&s->from);
	struct steer_policy *p;
	struct match m;
	__u16 *port;

	if (!agent || !peer || !peer->linked || s->port == agent->link_port)
		return 0;
	port = bpf_map_lookup_elem(&adopting, &own);
	if (!port || s->port == *port)
		return 0;
	p = match_begin(&m, s->port);
	if (!p || !match_peer(&m, p, &s->from) || !match_adopts(&m, p, STEER_IN))
		return 0;
	return *port;
}

static __always_inline struct bpf_sock *listener(struct __sk_buff *skb, struct syn *s)
{
	struct bpf_sock *sk;

	if (s->v4)
		sk = bpf_skc_lookup_tcp(skb, &s->tuple, sizeof(s->tuple.ipv4), BPF_F_CURRENT_NETNS,
					0);
	else
		sk = bpf_skc_lookup_tcp(skb, &s->tuple, sizeof(s->tuple.ipv6), BPF_F_CURRENT_NETNS,
					0);
	if (sk && sk->state != BPF_TCP_LISTEN) {
		bpf_sk_release(sk);
		return NULL;
	}
	return sk;
}

SEC("tc")
int splice_adopt(struct __sk_buff *skb)
{
	struct syn s = {};
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	bool native = true;
	__u32 netns = 0;
	__u16 port;

	if (!read_syn(skb, &s))
		return TC_ACT_UNSPEC;
	sk = listener(skb, &s);
	if (!sk)
		return TC_ACT_UNSPEC;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp) {
		/* inside an SMC listener: it can do without us */
		native = BPF_CORE_READ_BITFIELD(&tp->inet_conn.icsk_inet.sk, sk_kern_sock);
		netns = tp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->ns.inum;
	}
	bpf_sk_release(sk);
	port = native ? 0 : adopting_port(&s, netns);
	if (!port)
		return TC_ACT_UNSPEC;

	if (s.v4)
		s.tuple.ipv4.dport = bpf_htons(port);
	else
		s.tuple.ipv6.dport = bpf_htons(port);
	sk = listener(skb, &s);
	if (sk) {
		bpf_sk_assign(skb, sk, 0);
		bpf_sk_release(sk);
	}
	return TC_ACT_UNSPEC;
}
