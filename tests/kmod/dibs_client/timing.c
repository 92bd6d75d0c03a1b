// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device's ops cost: writing into a DMB, taking and giving back DMBs.
 */
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "dibs_client.h"

int cmd_time_move(const char *words, char *answer)
{
	u32 size, count, i;
	u64 token, began;
	void *data;
	int rc = 0;

	if (sscanf(words, "%llx %u %u", &token, &size, &count) != 3 || !size || size > SZ_1M)
		return -EINVAL;
	data = kvmalloc(size, GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	memset(data, 0x5a, size);
	began = ktime_get_ns();
	for (i = 0; i < count && !rc; i++) {
		rc = state.dibs->ops->move_data(state.dibs, token, 0, false, 0, data, size);
		cond_resched();
	}
	began = ktime_get_ns() - began;
	kvfree(data);
	return rc ?: scnprintf(answer, ANSWER_SIZE, "%llu\n", began);
}

/* What this machine's memory allows: the same copy, with nothing of the device in it. */
int cmd_time_copy(const char *words, char *answer)
{
	void *from = NULL, *to = NULL;
	int rc = -ENOMEM;
	u32 size, count, i;
	u64 began;

	if (sscanf(words, "%u %u", &size, &count) != 2 || !size || size > SZ_1M)
		return -EINVAL;
	from = kvmalloc(size, GFP_KERNEL);
	to = kvmalloc(size, GFP_KERNEL);
	if (!from || !to)
		goto free;
	memset(from, 0x5a, size);
	began = ktime_get_ns();
	for (i = 0; i < count; i++) {
		memcpy(to, from, size);
		OPTIMIZER_HIDE_VAR(to);
		cond_resched();
	}
	began = ktime_get_ns() - began;
	rc = scnprintf(answer, ANSWER_SIZE, "%llu\n", began);
free:
	kvfree(to);
	kvfree(from);
	return rc;
}

/* A random one goes, another comes: the allocator stays as full as it is. */
static int churn(const uuid_t *gid, u32 len, struct client_dmb **in_use, u32 n, u32 rounds)
{
	u32 i, at;
	int rc;

	for (i = 0; i < rounds; i++) {
		at = get_random_u32_below(n);
		rc = client_unregister(in_use[at]);
		if (rc)
			return rc;
		rc = client_register(gid, len, &in_use[at]);
		if (rc)
			return rc;
		cond_resched();
	}
	return 0;
}

int cmd_time_alloc(const char *words, char *answer)
{
	u32 len, wanted, rounds, n, i;
	struct client_dmb **in_use;
	u64 began = 0;
	uuid_t gid;
	int rc = 0;

	if (uuid_parse(words, &gid) ||
	    sscanf(words + UUID_STRING_LEN, "%u %u %u", &len, &wanted, &rounds) != 3 || !wanted ||
	    wanted >= state.max_dmbs)
		return -EINVAL;
	in_use = kvcalloc(wanted, sizeof(*in_use), GFP_KERNEL);
	if (!in_use)
		return -ENOMEM;
	for (n = 0; n < wanted && !rc; n += !rc)
		rc = client_register(&gid, len, &in_use[n]);
	if (!rc) {
		began = ktime_get_ns();
		rc = churn(&gid, len, in_use, n, rounds);
		began = ktime_get_ns() - began;
	}
	for (i = 0; i < n; i++)
		if (in_use[i]->dmb.dmb_tok)
			client_unregister(in_use[i]);
	kvfree(in_use);
	return rc ?: scnprintf(answer, ANSWER_SIZE, "%llu\n", began);
}
