// SPDX-License-Identifier: GPL-2.0-only
/*
 * Round trips between two clients: a signal, its handler, an answer, its handler. As SMC
 * does, the handler only starts a tasklet, and the tasklet answers.
 */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/timekeeping.h>

#include "dibs_client.h"

#define PING_COUNT_MAX 1000000

/* What is sent. The number tells an answer from one that came before, or twice. */
struct message {
	u64 number;
	u64 zero;
};

static struct {
	struct tasklet_struct tasklet;
	bool on;		    /* written last, read first */
	u32 index;		    /* own DMB */
	const struct message *here; /* its memory */
	u64 to;			    /* the peer's */
	/* ping only; samples is NULL for an echo */
	u32 *samples;
	u32 count, done;
	u64 sent_ns;
	struct completion finished;
} game;

static int pingpong_send(u64 number)
{
	struct message message = {.number = number};

	return state.dibs->ops->move_data(state.dibs, game.to, 0, true, 0, &message,
					  sizeof(message));
}

static int ping_send(void)
{
	game.sent_ns = ktime_get_ns();
	return pingpong_send(game.done + 1);
}

static void pingpong_tasklet(struct tasklet_struct *t)
{
	if (!game.samples)
		pingpong_send(READ_ONCE(game.here->number));
	else if (game.done == game.count || ping_send())
		complete(&game.finished);
}

void pingpong_signal(u32 index)
{
	if (!smp_load_acquire(&game.on) || index != game.index)
		return;
	if (game.samples) {
		if (game.done == game.count || READ_ONCE(game.here->number) != game.done + 1)
			return;
		game.samples[game.done] = min_t(u64, ktime_get_ns() - game.sent_ns, U32_MAX);
		WRITE_ONCE(game.done, game.done + 1);
	}
	tasklet_schedule(&game.tasklet);
}

void pingpong_init(void)
{
	tasklet_setup(&game.tasklet, pingpong_tasklet);
	init_completion(&game.finished);
}

/* The lock is what the handlers run under: none of them is in pingpong_signal() after it. */
void pingpong_stop(void)
{
	spin_lock_irq(&state.dibs->lock);
	game.on = false;
	spin_unlock_irq(&state.dibs->lock);
	tasklet_kill(&game.tasklet);
}

static int pingpong_start(const char *words, u32 *count)
{
	struct client_dmb *own;
	u64 token, to;
	int n = sscanf(words, "%llx %llx %u", &token, &to, count);

	own = client_find(token);
	if (n < 2 || !own)
		return -EINVAL;
	pingpong_stop();
	game.index = own->dmb.idx;
	game.here = own->dmb.cpu_addr;
	game.to = to;
	return n;
}

int cmd_echo(const char *words, char *answer)
{
	u32 unused;
	int rc;

	if (!strncmp(words, "off", 3)) {
		pingpong_stop();
		return 0;
	}
	rc = pingpong_start(words, &unused);
	if (rc < 0)
		return rc;
	game.samples = NULL;
	smp_store_release(&game.on, true);
	return 0;
}

static int compare(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/* Two seconds without an answer are the end. */
static int ping_wait(void)
{
	u32 before;

	do {
		before = READ_ONCE(game.done);
		if (wait_for_completion_timeout(&game.finished, 2 * HZ))
			return game.done == game.count ? 0 : -ECONNRESET;
	} while (READ_ONCE(game.done) != before);
	return -ETIMEDOUT;
}

int cmd_ping(const char *words, char *answer)
{
	u32 count, *s;
	int rc;

	rc = pingpong_start(words, &count);
	if (rc < 0)
		return rc;
	if (rc != 3 || !count || count > PING_COUNT_MAX)
		return -EINVAL;
	s = kvcalloc(count, sizeof(*s), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	game.samples = s;
	game.count = count;
	game.done = 0;
	reinit_completion(&game.finished);
	smp_store_release(&game.on, true);
	local_bh_disable(); /* the first one goes out as the others do */
	rc = ping_send();
	local_bh_enable();
	if (!rc)
		rc = ping_wait();
	pingpong_stop();
	if (!rc) {
		sort(s, count, sizeof(*s), compare, NULL);
		rc = scnprintf(answer, ANSWER_SIZE, "%u %u %u %u\n", s[0], s[count / 2],
			       s[(u64)count * 99 / 100], s[count - 1]);
	}
	kvfree(s);
	return rc;
}
