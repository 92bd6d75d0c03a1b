/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What policy_probe asks its BPF program: one end of a connection. */
#ifndef TESTS_POLICY_PROBE_H
#define TESTS_POLICY_PROBE_H

#include <linux/types.h>

#define PROBE_CGROUPS 8
#define PROBE_OFFSET 14 /* in the packet, after what looks like an Ethernet header */

struct probe_flow {
    __u8 peer[16];
    __u32 way; /* STEER_OUT or STEER_IN */
    __u32 port;
    __u64 uid;
    __u64 netns;
    __u64 cgroup[PROBE_CGROUPS]; /* from the socket's own upwards, then 0 */
};

#endif
