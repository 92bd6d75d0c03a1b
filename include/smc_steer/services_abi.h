/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * BPF <-> agent: addresses of services, which are rewritten (DNAT) after SMC was offered to them.
 *
 *   services   lpm_trie: struct steer_prefix -> __u8 (1): the ranges. The agent writes.
 *   guard      array[1] of struct steer_guard. The agent writes.
 *   opened     array[1] of __u64: devices of the guarded network namespace that began to send. BPF
 *              writes.
 *   offers     lru_hash: __u32 initial sequence number of a SYN to a service, host byte order ->
 *              struct steer_offer. The handshake writes, the guard reads.
 *
 * The handshake may offer SMC to such an address because the guard, on every device that the
 * packet can leave by, looks at where the SYN goes in the end, and takes the offer off again.
 */
#ifndef SMC_STEER_SERVICES_ABI_H
#define SMC_STEER_SERVICES_ABI_H

#include <linux/types.h>

#include <smc_steer/policy_abi.h>

#define STEER_SERVICES_MAX 64
#define STEER_OFFERS_MAX   8192
#define STEER_OFFER_IDS	   16

#define STEER_GUARD_NONE (~0ULL)

/* A guard outlives a killed agent, whose last SYNs may still wait for a neighbour's address. It
 * goes on this long after the lease, then it lets everything pass.
 */
#define STEER_GUARD_AFTER_NS 10000000000ULL

struct steer_guard {
	/* What `opened` was when the agent last found all devices guarded. While the two differ,
	 * services are not offered SMC.
	 */
	__u64 covered;
	__u32 netns; /* inode number of the guarded network namespace, the agent's own */
	__u32 reserved;
};
STEER_ASSERT(sizeof(struct steer_guard) == 16);

/* The workloads of the rules that the socket belongs to (struct steer_chain): the packet does
 * not know its socket any more when it leaves.
 */
struct steer_offer {
	__u32 slot; /* the policy these ids are of */
	__u32 used; /* of id[] */
	__u32 id[STEER_OFFER_IDS];
};
STEER_ASSERT(sizeof(struct steer_offer) == 72);

#endif /* SMC_STEER_SERVICES_ABI_H */
