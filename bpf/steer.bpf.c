// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program asks for as TCP becomes an SMC socket, if its workload is selected.
 *
 * Attached to the kernel's hook for that purpose (net/socket.c, update_socket_protocol()),
 * which every socket() passes, of every program. Which connections then really offer SMC
 * is decided SYN by SYN in handshake.bpf.c; here neither peer nor port is known yet.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/maps.h"
#include "lib/steered.h"
#include "lib/workload.h"

char LICENSE[] SEC("license") = "GPL";

/* Go's listeners ask for MPTCP since 1.24 and are as much TCP as others. */
static __always_inline bool means_tcp(int family, int type, int protocol)
{
	return (family == AF_INET || family == AF_INET6) &&
	       (type & SOCK_TYPE_MASK) == SOCK_STREAM &&
	       (protocol == 0 || protocol == IPPROTO_TCP || protocol == STEER_IPPROTO_MPTCP);
}

static __always_inline bool never(const struct steer_chain *chain)
{
	return chain && (chain->never || chain->count > STEER_CHAIN_MAX);
}

/* Some rules deny all that a workload does: its sockets are better left what they are. A
 * command is known only here.
 */
static __always_inline bool workload_denied(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct steer_subject s = {.kind = STEER_SUBJECT_COMMAND};
	__u32 slot = policy_slot();
	struct steer_policy *p = policy_of(slot);
	void *subjects;

	if (!p || slot == STEER_POLICY_NONE)
		return true;
	if (p->has & STEER_HAS_CGROUPS && never(cgroup_chain(slot, task->cgroups->dfl_cgrp)))
		return true;
	if (p->has & STEER_HAS_UIDS &&
	    never(subject_chain(slot, STEER_SUBJECT_UID, (__u32)bpf_get_current_uid_gid())))
		return true;
	if (p->has & STEER_HAS_NETNS &&
	    never(subject_chain(slot, STEER_SUBJECT_NETNS, task->nsproxy->net_ns->ns.inum)))
		return true;
	if (!(p->has & STEER_HAS_COMMANDS))
		return false;
	bpf_get_current_comm(s.command, sizeof(s.command));
	subjects = bpf_map_lookup_elem(&policy_subjects, &slot);
	return subjects && never(bpf_map_lookup_elem(subjects, &s));
}

SEC("fmod_ret/update_socket_protocol")
int BPF_PROG(steer, int family, int type, int protocol)
{
	if (!means_tcp(family, type, protocol) || !agent_alive() || is_agent() ||
	    !cgroup_selected(bpf_get_current_task_btf()->cgroups->dfl_cgrp) || workload_denied())
		return protocol;
	count(STEER_SOCKETS_STEERED);
	return STEER_IPPROTO_SMC;
}
