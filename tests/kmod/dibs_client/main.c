// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client, its one device, and the commands of userspace.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "dibs_client.h"

static char *device;
module_param(device, charp, 0444);
MODULE_PARM_DESC(device,
		 "name of the DIBS device to drive (default: the first that is not loopback)");

struct client_state state = {
	.lock = __MUTEX_INITIALIZER(state.lock),
	.attachments = LIST_HEAD_INIT(state.attachments),
};

/* Written by the device's event handler. */
static DEFINE_SPINLOCK(event_lock);
static struct dibs_event last_event;
static u64 nr_events;

static bool client_wants(struct dibs_dev *dibs)
{
	if (device)
		return !strcmp(dev_name(&dibs->dev), device);
	return dibs->ops->get_fabric_id(dibs) != DIBS_LOOPBACK_FABRIC;
}

static void client_add_dev(struct dibs_dev *dibs)
{
	mutex_lock(&state.lock);
	if (state.dibs || !client_wants(dibs))
		goto unlock;
	state.max_dmbs = dibs->ops->max_dmbs();
	state.dmbs = kvcalloc(state.max_dmbs, sizeof(*state.dmbs), GFP_KERNEL);
	if (state.dmbs)
		/* a handler that sees the device sees its table */
		smp_store_release(&state.dibs, dibs);
unlock:
	mutex_unlock(&state.lock);
}

/* No handler of ours runs for this device any more. */
static void client_del_dev(struct dibs_dev *dibs)
{
	mutex_lock(&state.lock);
	if (state.dibs == dibs) {
		client_drop_everything();
		WRITE_ONCE(state.dibs, NULL);
		kvfree(state.dmbs);
		state.dmbs = NULL;
	}
	mutex_unlock(&state.lock);
}

static void client_handle_irq(struct dibs_dev *dibs, unsigned int idx, u16 mask)
{
	if (smp_load_acquire(&state.dibs) != dibs || idx >= state.max_dmbs)
		return;
	atomic64_inc(&state.dmbs[idx].signals);
	pingpong_signal(idx);
}

static void client_handle_event(struct dibs_dev *dibs, const struct dibs_event *event)
{
	unsigned long flags;

	if (READ_ONCE(state.dibs) != dibs)
		return;
	spin_lock_irqsave(&event_lock, flags);
	last_event = *event;
	nr_events++;
	spin_unlock_irqrestore(&event_lock, flags);
}

static const struct dibs_client_ops client_ops = {
	.add_dev = client_add_dev,
	.del_dev = client_del_dev,
	.handle_irq = client_handle_irq,
	.handle_event = client_handle_event,
};

struct dibs_client the_client = {
	.name = KBUILD_MODNAME,
	.ops = &client_ops,
};

static int cmd_device(const char *words, char *answer)
{
	return scnprintf(answer, ANSWER_SIZE, "%s %pUb 0x%04x\n", dev_name(&state.dibs->dev),
			 &state.dibs->gid, state.dibs->ops->get_fabric_id(state.dibs));
}

static int cmd_query(const char *words, char *answer)
{
	uuid_t gid;
	int rc = uuid_parse(words, &gid);

	return rc ?: state.dibs->ops->query_remote_gid(state.dibs, &gid, 0, 0);
}

static int cmd_event(const char *words, char *answer)
{
	uuid_t gid;
	u64 info;
	u32 code;

	if (uuid_parse(words, &gid) ||
	    sscanf(words + UUID_STRING_LEN, "%u %llu", &code, &info) != 2)
		return -EINVAL;
	if (!state.dibs->ops->signal_event)
		return -EOPNOTSUPP;
	return state.dibs->ops->signal_event(state.dibs, &gid, 0, code, info);
}

static int cmd_events(const char *words, char *answer)
{
	struct dibs_event event;
	u64 count;

	spin_lock_irq(&event_lock);
	event = last_event;
	count = nr_events;
	spin_unlock_irq(&event_lock);
	return scnprintf(answer, ANSWER_SIZE, "%llu %u %u %llu %pUb\n", count, event.type,
			 event.subtype, event.data, &event.gid);
}

static const struct {
	const char *name;
	int (*run)(const char *words, char *answer); /* length of the answer, or -errno */
} commands[] = {
	{"device", cmd_device},	      {"query", cmd_query},
	{"register", cmd_register},   {"unregister", cmd_unregister},
	{"peek", cmd_peek},	      {"signals", cmd_signals},
	{"attach", cmd_attach},	      {"detach", cmd_detach},
	{"move", cmd_move},	      {"event", cmd_event},
	{"events", cmd_events},	      {"echo", cmd_echo},
	{"ping", cmd_ping},	      {"time-move", cmd_time_move},
	{"time-copy", cmd_time_copy}, {"time-alloc", cmd_time_alloc},
};

static int client_run(const char *text, char *answer)
{
	size_t word = strcspn(text, " \n");
	int i, rc = -EOPNOTSUPP;

	mutex_lock(&state.lock);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strlen(commands[i].name) != word || strncmp(commands[i].name, text, word))
			continue;
		rc = state.dibs ? commands[i].run(skip_spaces(text + word), answer) : -ENODEV;
	}
	mutex_unlock(&state.lock);
	return rc;
}

/* misc_open() put the miscdevice where simple_transaction_get() wants nothing. */
static int client_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return 0;
}

static ssize_t client_write(struct file *file, const char __user *buf, size_t size, loff_t *pos)
{
	char answer[ANSWER_SIZE];
	char *text = simple_transaction_get(file, buf, size);
	int n;

	if (IS_ERR(text))
		return PTR_ERR(text);
	n = client_run(text, answer);
	if (n < 0)
		return n;
	memcpy(text, answer, n);
	simple_transaction_set(file, n);
	return size;
}

static const struct file_operations client_fops = {
	.owner = THIS_MODULE,
	.open = client_open,
	.write = client_write,
	.read = simple_transaction_read,
	.release = simple_transaction_release,
	.llseek = noop_llseek,
};

static struct miscdevice client_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "dibs_client",
	.fops = &client_fops,
	.mode = 0600,
};

static int __init client_init(void)
{
	int rc;

	pingpong_init();
	rc = dibs_register_client(&the_client);
	if (rc)
		return rc;
	rc = misc_register(&client_misc);
	if (rc)
		dibs_unregister_client(&the_client);
	return rc;
}

/* DIBS warns of a client that goes while it has DMBs. */
static void __exit client_exit(void)
{
	misc_deregister(&client_misc);
	mutex_lock(&state.lock);
	if (state.dibs)
		client_drop_everything();
	mutex_unlock(&state.lock);
	dibs_unregister_client(&the_client);
}

module_init(client_init);
module_exit(client_exit);

MODULE_DESCRIPTION("a DIBS client for tests and measurements");
MODULE_LICENSE("GPL");
