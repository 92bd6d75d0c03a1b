// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts TCP connections as they are established and closed, the inner ones of SMC sockets
 * too: with whom (a same-host peer or anybody else), what the two ends agreed on, and how long
 * those were that this guest made. Attached to the root control group. It decides nothing.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/connections.h"
#include "lib/lengths.h"
#include "lib/maps.h"
#include "lib/moved.h"
#include "lib/ops.h"
#include "lib/same_host.h"
#include "lib/services.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline bool smc_agreed(struct bpf_sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && tp->syn_smc;
}

static __always_inline void established(struct bpf_sock_ops *ops, bool made)
{
	struct steer_connection c = {.counted_as = STEER_ESTABLISHED_OTHER, .made = made};
	struct bpf_sock *sk = ops->sk;
	struct steer_address a;

	if (!sk)
		return;
	remote_address(&a, ops);
	if (same_host_has(&a))
		c.counted_as = smc_agreed(sk) ? STEER_ESTABLISHED_SMC : STEER_ESTABLISHED_TCP;
	else if (is_service(&a) && smc_agreed(sk))
		c.counted_as = STEER_ESTABLISHED_SMC;
	count(c.counted_as);

	/* makes the cookie, which moved.bpf.c only reads */
	bpf_get_socket_cookie(ops);
	c.established_ns = bpf_ktime_get_ns();
	if (bpf_sk_storage_get(&connections, sk, &c, BPF_SK_STORAGE_GET_F_CREATE))
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* An SMC socket that fell back, or whose end came from the peer's death, has left no word of
 * what it moved, and nothing is learned from it.
 */
static __always_inline void learn(struct bpf_sock_ops *ops, const struct steer_connection *c)
{
	const struct steer_control *agent = living_agent();
	__u64 end = c->ended_ns ? c->ended_ns : bpf_ktime_get_ns();
	__u64 bytes = ops->bytes_acked + ops->bytes_received;
	struct steer_address a;
	__u64 cookie, *over_smc;

	if (c->counted_as == STEER_ESTABLISHED_SMC) {
		cookie = bpf_get_socket_cookie(ops);
		over_smc = bpf_map_lookup_elem(&moved, &cookie);
		if (!over_smc)
			return;
		bytes = *over_smc;
		bpf_map_delete_elem(&moved, &cookie);
	}
	if (!agent || !agent->short_bytes || !c->made)
		return;
	remote_address(&a, ops);
	if (c->counted_as == STEER_ESTABLISHED_OTHER && !is_service(&a))
		return;
	learn_length(agent, &a, bpf_ntohl(ops->remote_port), bytes, end - c->established_ns);
}

static __always_inline void closed(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct steer_connection *c;

	if (!sk)
		return;
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (!c)
		return;
	learn(ops, c);
	switch (c->counted_as) {
	case STEER_ESTABLISHED_SMC:
		count(STEER_CLOSED_SMC);
		break;
	case STEER_ESTABLISHED_TCP:
		count(STEER_CLOSED_TCP);
		break;
	default:
		count(STEER_CLOSED_OTHER);
	}
	bpf_sk_storage_delete(&connections, sk);
}

static __always_inline void ending(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct steer_connection *c;

	if (!sk)
		return;
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (c)
		c->ended_ns = bpf_ktime_get_ns();
}

SEC("sockops")
int flows(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		established(ops, true);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		established(ops, false);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[0] == BPF_TCP_ESTABLISHED)
			ending(ops);
		if (ops->args[1] == BPF_TCP_CLOSE)
			closed(ops);
		break;
	}
	return 1;
}
