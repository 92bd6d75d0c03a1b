// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is sent at one end of a loopback connection between a program and the agent goes straight
 * into the other end's receive queue (sk_msg, sockmap), past the loopback interface and TCP.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/relayed.h"
#include "lib/same_host.h"

char LICENSE[] SEC("license") = "GPL";

enum way {
	BY_QUEUE = 1,
	BY_TCP = 2,
};

/* Chosen at the first send and kept: bytes in the queue would overtake those on TCP's way. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} ways SEC(".maps");

static __always_inline void address_of(struct steer_address *a, struct sk_msg_md *msg, bool local)
{
	if (msg->family == AF_INET)
		address_from_v4(a, local ? msg->local_ip4 : msg->remote_ip4);
	else
		address_from_context(a, local ? msg->local_ip6 : msg->remote_ip6);
}

SEC("sk_msg")
int join(struct sk_msg_md *msg)
{
	struct splice_tuple other = {};
	struct bpf_sock *sk = msg->sk;
	__u32 *way;

	if (!sk)
		return SK_PASS;
	way = bpf_sk_storage_get(&ways, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!way || *way == BY_TCP)
		return SK_PASS;
	/* Shut down by ourselves: TCP knows that nothing may be sent any more, sockmap does not. */
	if (sk->state != BPF_TCP_ESTABLISHED && sk->state != BPF_TCP_CLOSE_WAIT)
		return SK_PASS;
	other.netns = bpf_get_netns_cookie(msg);
	address_of(&other.local, msg, false);
	address_of(&other.remote, msg, true);
	other.local_port = bpf_ntohl(msg->remote_port);
	other.remote_port = msg->local_port;
	if (bpf_msg_redirect_hash(msg, &joined, &other, BPF_F_INGRESS) == SK_PASS) {
		*way = BY_QUEUE;
		return SK_PASS;
	}
	/* Not there any more: it is closed. To pass would be to send to whom an earlier run of this
	 * for the same message has found, who may be gone.
	 */
	if (*way == BY_QUEUE)
		return SK_DROP;
	*way = BY_TCP; /* not there yet */
	return SK_PASS;
}
