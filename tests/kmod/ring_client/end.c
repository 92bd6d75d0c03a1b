// SPDX-License-Identifier: GPL-2.0-only
/*
 * One end of a pair of rings, and what can be asked of it.
 *
 * Ends are never freed: what came after the last release() is seen as a count that is too high.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "ring_client.h"

#define ENDS_MAX 4096

static struct end *ends[ENDS_MAX];
static unsigned int nr_ends; /* one command at a time writes it */
static atomic_t nr_gone, nr_released;

struct end *end_find(unsigned int id)
{
	return id < nr_ends ? ends[id] : NULL;
}

/* `lock` held. */
static bool end_connected(struct end *end)
{
	return end->rings && end->rings->out;
}

/* The first word of either memory is a number that is waited for or sent back. `lock` held. */
static void end_send(struct end *end, u64 number)
{
	WRITE_ONCE(*(u64 *)end->rings->out, number);
	end->rings->calls->signal(end->rings);
}

/* Whoever takes it out ends it: nobody touches the memory any more. */
static struct ivpci_rings *end_take(struct end *end)
{
	struct ivpci_rings *rings;

	spin_lock_bh(&end->lock);
	rings = end->rings;
	end->rings = NULL;
	spin_unlock_bh(&end->lock);
	return rings;
}

/* Ended from within, and then not done yet: nobody is released under it. */
static void end_slowly(struct end *end)
{
	struct ivpci_rings *rings = end_take(end);

	if (!rings)
		return;
	ivpci_rings_end(rings);
	mdelay(end->slow_ms);
	WARN_ON(READ_ONCE(end->released));
}

static void end_signalled(void *user, bool rung)
{
	struct end *end = user;

	WARN_ON(READ_ONCE(end->released));
	if (!rung)
		return;
	if (READ_ONCE(end->slow_ms))
		end_slowly(end);
	spin_lock(&end->lock);
	end->signals++;
	if (end->echoes && end_connected(end))
		end_send(end, READ_ONCE(*(u64 *)end->rings->in));
	else if (end->wanted && end->rings && READ_ONCE(*(u64 *)end->rings->in) == end->wanted)
		complete(&end->came);
	spin_unlock(&end->lock);
}

static void end_gone(void *user, enum ivpci_rings_why why)
{
	struct end *end = user;
	struct ivpci_rings *rings;

	WARN_ON(end->why || end->released);
	atomic_inc(&nr_gone);
	WRITE_ONCE(end->why, why);
	if (READ_ONCE(end->keeps))
		return;
	rings = end_take(end);
	if (rings)
		ivpci_rings_end(rings);
}

static void end_released(void *user)
{
	struct end *end = user;

	WARN_ON(end->rings || end->released);
	WRITE_ONCE(end->released, true);
	atomic_inc(&nr_released);
}

static const struct ivpci_rings_user end_calls = {
	.signal = end_signalled,
	.gone = end_gone,
	.release = end_released,
};

int end_make(const char *words, char *answer)
{
	const struct ivpci_rings_driver *driver;
	struct ivpci_rings_ask ask = {.calls = &end_calls};
	struct ivpci_rings *rings;
	struct end *end;
	u64 token;

	if (nr_ends == ENDS_MAX ||
	    sscanf(words, "%u %u %u %u", &ask.device, &ask.slot, &ask.generation, &ask.len) != 4)
		return -EINVAL;
	end = kzalloc(sizeof(*end), GFP_KERNEL);
	if (!end)
		return -ENOMEM;
	spin_lock_init(&end->lock);
	init_completion(&end->came);
	ask.user = end;
	driver = ivpci_rings_get();
	if (!driver) {
		kfree(end);
		return -ENXIO;
	}
	rings = driver->make(&ask);
	ivpci_rings_put();
	if (IS_ERR(rings)) {
		kfree(end);
		return PTR_ERR(rings);
	}
	token = rings->token;
	ends[nr_ends++] = end;
	spin_lock_bh(&end->lock);
	end->rings = rings;
	spin_unlock_bh(&end->lock);
	/* gone() has found nothing to end */
	if (READ_ONCE(end->why)) {
		rings = end_take(end);
		if (rings)
			ivpci_rings_end(rings);
	}
	return scnprintf(answer, ANSWER_SIZE, "%u %llx\n", nr_ends - 1, token);
}

/* gone() can come at any time and ends what we have. It is kept away until we are connected. */
int end_connect(struct end *end, const char *words, char *answer)
{
	struct ivpci_rings *rings = end_take(end);
	u64 token;
	u32 len;
	int rc;

	if (!rings)
		return -ESHUTDOWN;
	rc = sscanf(words, "%llx", &token) == 1 ? rings->calls->connect(rings, token) : -EINVAL;
	len = rings->out_len;
	spin_lock_bh(&end->lock);
	end->rings = rings;
	spin_unlock_bh(&end->lock);
	if (READ_ONCE(end->why) && !READ_ONCE(end->keeps)) {
		rings = end_take(end);
		if (rings)
			ivpci_rings_end(rings);
	}
	return rc ?: scnprintf(answer, ANSWER_SIZE, "%u\n", len);
}

int end_put(struct end *end, const char *words, char *answer)
{
	u32 offset, size, byte;
	int rc = -ESHUTDOWN;

	if (sscanf(words, "%u %u %x", &offset, &size, &byte) != 3)
		return -EINVAL;
	spin_lock_bh(&end->lock);
	if (end_connected(end)) {
		rc = (u64)offset + size <= end->rings->out_len ? 0 : -EINVAL;
		if (!rc)
			memset(end->rings->out + offset, byte, size);
	}
	spin_unlock_bh(&end->lock);
	return rc;
}

int end_peek(struct end *end, const char *words, char *answer)
{
	int rc = -ESHUTDOWN;
	u64 word = 0;
	u32 offset;

	if (sscanf(words, "%u", &offset) != 1 || offset % sizeof(u64))
		return -EINVAL;
	spin_lock_bh(&end->lock);
	if (end->rings) {
		rc = offset < end->rings->in_len ? 0 : -EINVAL;
		if (!rc)
			word = READ_ONCE(*(u64 *)(end->rings->in + offset));
	}
	spin_unlock_bh(&end->lock);
	return rc ?: scnprintf(answer, ANSWER_SIZE, "%llx\n", word);
}

int end_signal(struct end *end, const char *words, char *answer)
{
	int rc = -ESHUTDOWN;

	spin_lock_bh(&end->lock);
	if (end_connected(end)) {
		end->rings->calls->signal(end->rings);
		rc = 0;
	}
	spin_unlock_bh(&end->lock);
	return rc;
}

int end_look(struct end *end, const char *words, char *answer)
{
	return scnprintf(answer, ANSWER_SIZE, "%llu %u %u\n", READ_ONCE(end->signals),
			 READ_ONCE(end->why), READ_ONCE(end->released));
}

int end_quiet(struct end *end, const char *words, char *answer)
{
	int rc = -ESHUTDOWN;

	spin_lock_bh(&end->lock);
	if (end->rings)
		rc = scnprintf(answer, ANSWER_SIZE, "%u\n",
			       end->rings->calls->quiet_ms(end->rings));
	spin_unlock_bh(&end->lock);
	return rc;
}

int end_end(struct end *end, const char *words, char *answer)
{
	struct ivpci_rings *rings = end_take(end);

	if (!rings)
		return -ESHUTDOWN;
	ivpci_rings_end(rings);
	return 0;
}

/* All of both, in rounds that let others have the CPU: many of these run in guests on few CPUs. */
#define ROUND 64

static int end_busy_thread(void *data)
{
	struct end *end = data;
	u32 at = 0, rounds = 0;
	u64 sum = 0;

	while (!kthread_should_stop()) {
		spin_lock_bh(&end->lock);
		if (!end_connected(end)) {
			spin_unlock_bh(&end->lock);
			break;
		}
		sum += READ_ONCE(*(u64 *)(end->rings->in + at % end->rings->in_len));
		WRITE_ONCE(*(u64 *)(end->rings->out + at % end->rings->out_len), sum);
		at += PAGE_SIZE + sizeof(u64);
		end->rings->calls->signal(end->rings);
		spin_unlock_bh(&end->lock);
		if (++rounds % ROUND == 0)
			usleep_range(1000, 2000);
	}
	return 0;
}

int end_busy(struct end *end, const char *words, char *answer)
{
	end->busy = kthread_run(end_busy_thread, end, "ring_client");
	return PTR_ERR_OR_ZERO(end->busy);
}

int end_keep(struct end *end, const char *words, char *answer)
{
	WRITE_ONCE(end->keeps, true);
	return 0;
}

int end_echo(struct end *end, const char *words, char *answer)
{
	spin_lock_bh(&end->lock);
	end->echoes = true;
	spin_unlock_bh(&end->lock);
	return 0;
}

int end_slow(struct end *end, const char *words, char *answer)
{
	u32 ms;

	if (sscanf(words, "%u", &ms) != 1)
		return -EINVAL;
	WRITE_ONCE(end->slow_ms, ms);
	return 0;
}

int end_ping(struct end *end, const char *words, char *answer)
{
	u64 began = ktime_get_ns();
	unsigned int count, i;
	int rc = 0;

	if (sscanf(words, "%u", &count) != 1)
		return -EINVAL;
	for (i = 1; !rc && i <= count; i++) {
		spin_lock_bh(&end->lock);
		reinit_completion(&end->came);
		end->wanted = i;
		if (end_connected(end))
			end_send(end, i);
		else
			rc = -ESHUTDOWN;
		spin_unlock_bh(&end->lock);
		/* a signal that got lost is not sent again */
		if (!rc && !wait_for_completion_timeout(&end->came, 2 * HZ))
			rc = -ETIMEDOUT;
	}
	spin_lock_bh(&end->lock);
	end->wanted = 0;
	spin_unlock_bh(&end->lock);
	return rc ?: scnprintf(answer, ANSWER_SIZE, "%llu\n", ktime_get_ns() - began);
}

int end_all(const char *words, char *answer)
{
	return scnprintf(answer, ANSWER_SIZE, "%u %d %d\n", nr_ends, atomic_read(&nr_gone),
			 atomic_read(&nr_released));
}
