/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses of the socket that a sockops program is called for. Word by word, and volatile: clang
 * makes one load of eight bytes of two, which the context refuses.
 */
#ifndef BPF_OPS_H
#define BPF_OPS_H

#include "same_host.h"

static __always_inline void local_address(struct steer_address *a, struct bpf_sock_ops *ops)
{
	volatile __u32 *own = ops->local_ip6;
	__u32 words[4];

	if (ops->family == AF_INET) {
		address_from_v4(a, ops->local_ip4);
		return;
	}
	words[0] = own[0];
	words[1] = own[1];
	words[2] = own[2];
	words[3] = own[3];
	address_from_v6(a, words);
}

static __always_inline void remote_address(struct steer_address *a, struct bpf_sock_ops *ops)
{
	volatile __u32 *remote = ops->remote_ip6;
	__u32 words[4];

	if (ops->family == AF_INET) {
		address_from_v4(a, ops->remote_ip4);
		return;
	}
	words[0] = remote[0];
	words[1] = remote[1];
	words[2] = remote[2];
	words[3] = remote[3];
	address_from_v6(a, words);
}

#endif
