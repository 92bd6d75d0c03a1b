/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel structures the programs look into, the few fields of each: relocated by
 * CO-RE when loaded, so that no dump of the build host's kernel is needed.
 */
#ifndef BPF_KERNEL_TYPES_H
#define BPF_KERNEL_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#define AF_INET	       2
#define AF_INET6       10
#define SOCK_STREAM    1
#define SOCK_TYPE_MASK 0xf
#define IPPROTO_TCP    6

#define CORE __attribute__((preserve_access_index))

struct in6_addr___steer {
	union {
		__u8 u6_addr8[16];
	} in6_u;
} CORE;

struct ns_common {
	unsigned int inum;
} CORE;

struct net {
	struct ns_common ns;
} CORE;

typedef struct {
	struct net *net;
} CORE possible_net_t;

typedef struct {
	__u32 val;
} CORE kuid_t;

struct kernfs_node {
	__u64 id;
} CORE;

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} CORE;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
} CORE;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} CORE;

struct css_set {
	struct cgroup *dfl_cgrp;
} CORE;

struct nsproxy {
	struct net *net_ns;
} CORE;

struct task_struct {
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
} CORE;

typedef struct {
	__s64 counter;
} CORE atomic64_t;

struct sock_common {
	unsigned short skc_family;
	__be32 skc_daddr;
	__be16 skc_dport;
	__u16 skc_num;
	possible_net_t skc_net;
	struct in6_addr___steer skc_v6_daddr;
	atomic64_t skc_cookie;
} CORE;

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
	kuid_t sk_uid;
	__u8 sk_kern_sock : 1;
} CORE;

struct socket {
	struct sock *sk;
} CORE;

struct inet_sock {
	struct sock sk;
} CORE;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
} CORE;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 snd_una;
	bool syn_smc;
} CORE;

struct request_sock {
	struct sock_common __req_common;
} CORE;

struct inet_request_sock {
	struct request_sock req;
} CORE;

/* net/smc/smc.h and smc_core.h; in the BTF of module smc */
union smc_host_cursor {
	struct {
		__u16 reserved;
		__u16 wrap;
		__u32 count;
	} CORE;
} CORE;

struct smc_host_cdc_msg {
	union smc_host_cursor cons;
} CORE;

struct smc_buf_desc {
	int len;
} CORE;

struct smc_connection {
	struct smc_buf_desc *sndbuf_desc;
	struct smc_buf_desc *rmb_desc;
	struct smc_host_cdc_msg local_tx_ctrl;
	union smc_host_cursor tx_curs_sent;
} CORE;

struct smc_sock {
	struct socket *clcsock;
	struct smc_connection conn;
	bool use_fallback;
} CORE;

/* include/net/smc.h, Linux >= 6.19; in the BTF of module smc */
#define SMC_HS_CTRL_NAME_MAX	     16
#define SMC_HS_CTRL_FLAG_INHERITABLE 1

struct smc_hs_ctrl {
	char name[SMC_HS_CTRL_NAME_MAX];
	int flags;
	int (*syn_option)(struct tcp_sock *tp);
	int (*synack_option)(const struct tcp_sock *tp, struct inet_request_sock *ireq);
};

#endif
