// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts TCP connections as they are established and closed, the inner ones of SMC sockets
 * too: with whom (a same-host peer or anybody else) and what the two ends agreed on.
 * Attached to the root control group. It decides nothing.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "lib/maps.h"
#include "lib/same_host.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct steer_connection);
} connections SEC(".maps");

static __always_inline bool remote_is_same_host(struct bpf_sock_ops *ops)
{
	/* volatile: clang makes one load of eight bytes of two, which the context refuses */
	volatile __u32 *remote = ops->remote_ip6;
	struct steer_address a;
	__u32 v6[4];

	if (ops->family == AF_INET) {
		address_from_v4(&a, ops->remote_ip4);
	} else {
		v6[0] = remote[0];
		v6[1] = remote[1];
		v6[2] = remote[2];
		v6[3] = remote[3];
		address_from_v6(&a, v6);
	}
	return same_host_has(&a);
}

static __always_inline bool smc_agreed(struct bpf_sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && tp->syn_smc;
}

static __always_inline void established(struct bpf_sock_ops *ops)
{
	struct steer_connection c = {.counted_as = STEER_ESTABLISHED_OTHER};
	struct bpf_sock *sk = ops->sk;

	if (!sk)
		return;
	if (remote_is_same_host(ops))
		c.counted_as = smc_agreed(sk) ? STEER_ESTABLISHED_SMC : STEER_ESTABLISHED_TCP;
	count(c.counted_as);

	c.established_ns = bpf_ktime_get_ns();
	if (bpf_sk_storage_get(&connections, sk, &c, BPF_SK_STORAGE_GET_F_CREATE))
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
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

SEC("sockops")
int flows(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		established(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == BPF_TCP_CLOSE)
			closed(ops);
		break;
	}
	return 1;
}
