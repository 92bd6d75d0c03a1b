// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program has moved over an SMC socket, written down when it closes it: the inner TCP
 * socket, which flows.bpf.c sees close a moment later, has only seen the handshake.
 *
 * Attached to smc_release() (net/smc/af_smc.c). It decides nothing.
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/moved.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fentry/smc_release")
int BPF_PROG(moved_bytes, struct socket *sock)
{
	struct smc_sock *smc = (struct smc_sock *)BPF_CORE_READ(sock, sk);
	struct smc_buf_desc *out, *in;
	__u64 cookie, bytes;

	if (!smc || BPF_CORE_READ(smc, use_fallback))
		return 0;
	out = BPF_CORE_READ(smc, conn.sndbuf_desc);
	in = BPF_CORE_READ(smc, conn.rmb_desc);
	cookie = BPF_CORE_READ(smc, clcsock, sk, __sk_common.skc_cookie.counter);
	/* a listener, or a socket that was never connected */
	if (!out || !in || !cookie)
		return 0;
	bytes = (__u64)BPF_CORE_READ(smc, conn.tx_curs_sent.wrap) * BPF_CORE_READ(out, len) +
		BPF_CORE_READ(smc, conn.tx_curs_sent.count) +
		(__u64)BPF_CORE_READ(smc, conn.local_tx_ctrl.cons.wrap) * BPF_CORE_READ(in, len) +
		BPF_CORE_READ(smc, conn.local_tx_ctrl.cons.count);
	bpf_map_update_elem(&moved, &cookie, &bytes, BPF_ANY);
	return 0;
}
