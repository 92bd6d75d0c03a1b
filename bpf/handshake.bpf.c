// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which SYN and which SYN-ACK of an SMC socket carries the SMC option (struct_ops
 * smc_hs_ctrl, include/net/smc.h). Without it the socket is plain TCP for good.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/maps.h"
#include "lib/same_host.h"

char LICENSE[] SEC("license") = "GPL";

/* sizes, not types: clang 14 leaves types that are named only here incomplete */
struct policy_in_force {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct steer_policy));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct policy_in_force);
} policy SEC(".maps");

/* No policy in force yet means no. */
static __always_inline bool port_allowed(__u16 port)
{
	__u32 zero = 0;
	struct steer_policy *p;
	void *in_force;

	in_force = bpf_map_lookup_elem(&policy, &zero);
	if (!in_force)
		return false;
	p = bpf_map_lookup_elem(in_force, &zero);
	return p && p->port[port] == STEER_ALLOW;
}

/* The counters of a direction are in this order, see events_abi.h. */
enum decision {
	AGREE,
	NOT_SAME_HOST,
	DENIED,
	NO_AGENT
};

/* The agents' own connection comes first, whatever the policy: it proves that SMC-D works
 * between the two guests, and spares the programs' connections to be the first ones.
 */
static __always_inline enum decision judge(const struct steer_peer *peer, __u16 server_port,
					   __u32 link_port)
{
	if (!peer)
		return NOT_SAME_HOST;
	if (server_port == link_port)
		return AGREE;
	if (!peer->linked)
		return NOT_SAME_HOST;
	return port_allowed(server_port) ? AGREE : DENIED;
}

static __always_inline int conclude(enum decision d, enum steer_counter first)
{
	count(first + d);
	return d == AGREE;
}

SEC("struct_ops")
int BPF_PROG(syn_option, struct tcp_sock *tp)
{
	struct sock_common *skc = &tp->inet_conn.icsk_inet.sk.__sk_common;

	const struct steer_peer *peer;

	if (!living_agent())
		return conclude(NO_AGENT, STEER_SYN_OFFERED);
	peer = same_host_peer(skc);
	return conclude(judge(peer, bpf_ntohs(skc->skc_dport), peer ? peer->link_port : 0),
			STEER_SYN_OFFERED);
}

SEC("struct_ops")
int BPF_PROG(synack_option, const struct tcp_sock *tp, struct inet_request_sock *ireq)
{
	struct sock_common *skc = &ireq->req.__req_common;

	const struct steer_control *agent = living_agent();

	if (!agent)
		return conclude(NO_AGENT, STEER_SYNACK_AGREED);
	return conclude(judge(same_host_peer(skc), skc->skc_num, agent->link_port),
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
