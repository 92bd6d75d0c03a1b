/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which workloads of the rules a socket or a task belongs to.
 */
#ifndef BPF_WORKLOAD_H
#define BPF_WORKLOAD_H

#include "kernel_types.h"
#include "match.h"

struct workload {
	struct cgroup *cgroup;
	__u64 uid;
	__u64 netns;
};

/* The control group nearest to the socket that the rules name; its chain has those above. */
static __always_inline struct steer_chain *cgroup_chain(__u32 slot, struct cgroup *cgroup)
{
	struct cgroup_subsys_state *css;
	struct steer_chain *chain;
	int level;

	if (!cgroup)
		return NULL;
	css = &cgroup->self;
	for (level = 0; level < STEER_CGROUP_DEPTH && css; level++) {
		cgroup = css->cgroup;
		if (!cgroup)
			return NULL;
		chain = subject_chain(slot, STEER_SUBJECT_CGROUP, cgroup->kn->id);
		if (chain)
			return chain;
		css = css->parent;
	}
	return NULL;
}

static __always_inline void workload_of_sock(struct workload *w, const struct sock *sk)
{
	w->cgroup = sk->sk_cgrp_data.cgroup;
	w->uid = sk->sk_uid.val;
	w->netns = sk->__sk_common.skc_net.net->ns.inum;
}

static __always_inline bool match_workload(struct match *m, const struct steer_policy *p,
					   const struct workload *w)
{
	if (p->has & STEER_HAS_CGROUPS &&
	    !match_add(&m->workload, cgroup_chain(m->slot, w->cgroup)))
		return false;
	if (p->has & STEER_HAS_UIDS &&
	    !match_add(&m->workload, subject_chain(m->slot, STEER_SUBJECT_UID, w->uid)))
		return false;
	return !(p->has & STEER_HAS_NETNS) ||
	       match_add(&m->workload, subject_chain(m->slot, STEER_SUBJECT_NETNS, w->netns));
}

#endif
