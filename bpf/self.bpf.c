// SPDX-License-Identifier: GPL-2.0-only
/* Who runs this, as BPF programs see it: is_agent() in lib/maps.h asks the same. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("syscall")
int self(void *ctx)
{
	return (int)(bpf_get_current_pid_tgid() >> 32);
}
