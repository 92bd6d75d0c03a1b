/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Will the guard see what a socket sends? Only then services are offered SMC.
 *
 * The guard is on the devices of the root network namespace. A socket there sends by one of them,
 * a pod's by a veth whose other end is there. Any other way out (a device of the pod's own,
 * macvlan, a veth into yet another namespace), a route that encapsulates and IPsec, which hides
 * the SYN before it comes to a device, are not looked into: no offer.
 */
#ifndef BPF_WAY_OUT_H
#define BPF_WAY_OUT_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "kernel_types.h"
#include "services.h"

#define XFRM_POLICY_OUT 1

struct netns_xfrm {
	unsigned int policy_count[6];
} CORE;

struct net___way_out {
	struct ns_common ns;
	struct netns_xfrm xfrm;
} CORE;

struct rtnl_link_ops {
	const char *kind;
} CORE;

struct net_device {
	struct rtnl_link_ops *rtnl_link_ops;
	possible_net_t nd_net;
	__u8 priv[0];
} CORE;

/* drivers/net/veth.c */
struct veth_priv {
	struct net_device *peer;
} CORE;

struct lwtunnel_state;

struct dst_entry {
	struct net_device *dev;
	struct lwtunnel_state *lwtstate;
} CORE;

struct sock___way_out {
	struct sock_common __sk_common;
	struct dst_entry *sk_dst_cache;
} CORE;

static __always_inline bool has_ipsec(const struct net *net)
{
	const struct net___way_out *n = (const void *)net;

	return bpf_core_field_exists(n->xfrm) &&
	       BPF_CORE_READ(n, xfrm.policy_count[XFRM_POLICY_OUT]);
}

/* NULL: not a veth, or the other end is gone. */
static __always_inline struct net_device *veth_peer(struct net_device *dev)
{
	const char *kind = BPF_CORE_READ(dev, rtnl_link_ops, kind);
	struct net_device *peer;
	char name[8] = "";
	const void *priv;

	if (!bpf_core_type_exists(struct veth_priv) || !kind)
		return NULL;
	if (bpf_probe_read_kernel_str(name, sizeof(name), kind) != sizeof("veth") ||
	    name[0] != 'v' || name[1] != 'e' || name[2] != 't' || name[3] != 'h')
		return NULL;
	priv = (const void *)dev + bpf_core_field_offset(struct net_device, priv) +
	       bpf_core_field_offset(struct veth_priv, peer);
	if (bpf_probe_read_kernel(&peer, sizeof(peer), priv))
		return NULL;
	return peer;
}

static __always_inline bool guarded(const struct sock *sk)
{
	const struct sock___way_out *s = (const void *)sk;
	const struct steer_guard *g = the_guard();
	volatile __u64 *devices = devices_opened();
	struct net *net = BPF_CORE_READ(s, __sk_common.skc_net.net);
	struct dst_entry *dst;
	struct net_device *peer;

	if (!g || !devices || g->covered != *devices)
		return false;
	dst = BPF_CORE_READ(s, sk_dst_cache);
	if (!dst || BPF_CORE_READ(dst, lwtstate) || has_ipsec(net))
		return false;
	if (BPF_CORE_READ(net, ns.inum) == g->netns)
		return true;
	peer = veth_peer(BPF_CORE_READ(dst, dev));
	if (!peer)
		return false;
	net = BPF_CORE_READ(peer, nd_net.net);
	return BPF_CORE_READ(net, ns.inum) == g->netns && !has_ipsec(net);
}

#endif
