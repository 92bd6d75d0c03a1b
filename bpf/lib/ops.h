/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The far end's address of the socket that a sockops program is called for.
 */
#ifndef BPF_OPS_H
#define BPF_OPS_H

#include "same_host.h"

static __always_inline void remote_address(struct steer_address *a, struct bpf_sock_ops *ops)
{
	if (ops->family == AF_INET)
		address_from_v4(a, ops->remote_ip4);
	else
		address_from_context(a, ops->remote_ip6);
}

#endif
