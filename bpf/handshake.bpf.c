// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which SYN and which SYN-ACK of an SMC socket carries the SMC option (struct_ops
 * smc_hs_ctrl, include/net/smc.h). Without it the socket is plain TCP for good.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/decisions.h"
#include "lib/lengths.h"
#include "lib/maps.h"
#include "lib/match.h"
#include "lib/same_host.h"
#include "lib/services.h"
#include "lib/way_out.h"
#include "lib/workload.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline bool rules_allow(const struct sock *sk, const struct steer_address *peer,
					__u16 server_port, int way)
{
	struct steer_policy *p;
	struct workload w;
	struct match m;

	p = match_begin(&m, server_port);
	if (!p)
		return false;
	workload_of_sock(&w, sk);
	return match_peer(&m, p, peer) && match_workload(&m, p, &w) && match_allows(&m, p, way);
}

/* The counters of a direction are in this order, see events_abi.h. */
enum decision {
	AGREE,
	NOT_SAME_HOST,
	DENIED,
	NO_AGENT,
	SHORT, /* of a SYN alone: who connects knows what its connections are like */
};

/* `sk` is ours, the one that connects or listens. The agents' own connection comes first,
 * whatever the policy: it proves that SMC-D works between the two guests, and spares the
 * programs' connections to be the first ones.
 */
static __always_inline enum decision judge(const struct sock *sk, const struct steer_address *a,
					   const struct steer_peer *peer, __u16 server_port,
					   int way, __u32 link_port)
{
	if (!peer)
		return NOT_SAME_HOST;
	if (server_port == link_port)
		return AGREE;
	if (!peer->linked)
		return NOT_SAME_HOST;
	return rules_allow(sk, a, server_port, way) ? AGREE : DENIED;
}

/* Where the SYN goes is not known before it was rewritten: the guard (services.bpf.c) decides by
 * what it carries then, and is told here whose it is. What is denied to the service's own address
 * and port is denied here and now.
 */
static __always_inline enum decision judge_service(const struct tcp_sock *tp,
						   const struct steer_address *a, __u16 server_port)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	struct steer_offer offer = {};
	struct steer_policy *p;
	__u32 isn = tp->snd_una;
	struct workload w;
	struct match m;

	if (!guarded(sk))
		return NOT_SAME_HOST;
	p = match_begin(&m, server_port);
	if (!p)
		return DENIED;
	workload_of_sock(&w, sk);
	if (!match_workload(&m, p, &w))
		return DENIED;
	offer.slot = m.slot;
	offer.used = m.workload.used;
	__builtin_memcpy(offer.id, m.workload.id, sizeof(offer.id));
	if (!match_peer(&m, p, a) || match_denies(&m, p, STEER_OUT))
		return DENIED;
	return bpf_map_update_elem(&offers, &isn, &offer, BPF_ANY) ? NOT_SAME_HOST : AGREE;
}

static __always_inline int conclude(const struct sock_common *skc, __u16 server_port,
				    enum decision d, enum steer_counter first)
{
	count(first + d);
	report_decision(skc, server_port, first + d);
	return d == AGREE;
}

SEC("struct_ops")
int BPF_PROG(syn_option, struct tcp_sock *tp)
{
	struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	struct sock_common *skc = &sk->__sk_common;
	const struct steer_control *agent = living_agent();
	__u16 port = bpf_ntohs(skc->skc_dport);
	const struct steer_peer *peer;
	struct steer_address a = {};
	enum decision d;

	if (!agent)
		return conclude(skc, port, NO_AGENT, STEER_SYN_OFFERED);
	peer = peer_address(&a, skc) ? same_host_peer(&a) : NULL;
	if (!peer && peer_address(&a, skc) && is_service(&a))
		d = judge_service(tp, &a, port);
	else
		d = judge(sk, &a, peer, port, STEER_OUT, peer ? peer->link_port : 0);
	if (d == AGREE && too_short(agent, &a, port))
		d = SHORT;
	return conclude(skc, port, d, STEER_SYN_OFFERED);
}

SEC("struct_ops")
int BPF_PROG(synack_option, const struct tcp_sock *tp, struct inet_request_sock *ireq)
{
	const struct sock *listener = &tp->inet_conn.icsk_inet.sk;
	struct sock_common *skc = &ireq->req.__req_common;
	const struct steer_control *agent = living_agent();
	const struct steer_peer *peer;
	struct steer_address a = {};
	__u16 port = skc->skc_num;

	if (!agent)
		return conclude(skc, port, NO_AGENT, STEER_SYNACK_AGREED);
	peer = peer_address(&a, skc) ? same_host_peer(&a) : NULL;
	return conclude(skc, port, judge(listener, &a, peer, port, STEER_IN, agent->link_port),
			STEER_SYNACK_AGREED);
}

/* Two, so that an agent can put its own in force beside that of its predecessor. Namespaces
 * born later inherit from the first one.
 */
SEC(".struct_ops")
struct smc_hs_ctrl smc_steer_a = {
	.name = "smc_steer_a",
	.flags = SMC_HS_CTRL_FLAG_INHERITABLE,
	.syn_option = (void *)syn_option,
	.synack_option = (void *)synack_option,
};

SEC(".struct_ops")
struct smc_hs_ctrl smc_steer_b = {
	.name = "smc_steer_b",
	.flags = SMC_HS_CTRL_FLAG_INHERITABLE,
	.syn_option = (void *)syn_option,
	.synack_option = (void *)synack_option,
};
