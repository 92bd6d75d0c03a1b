// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands of userspace.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/string.h>

#include "ring_client.h"

static DEFINE_MUTEX(command_lock);

static const struct {
	const char *name;
	int (*run)(struct end *end, const char *words, char *answer); /* length, or -errno */
} of_an_end[] = {
	{"connect", end_connect}, {"put", end_put},	{"peek", end_peek}, {"signal", end_signal},
	{"look", end_look},	  {"quiet", end_quiet}, {"end", end_end},   {"busy", end_busy},
	{"keep", end_keep},	  {"echo", end_echo},	{"ping", end_ping}, {"slow", end_slow},
};

static int client_run(const char *text, char *answer)
{
	char name[16];
	struct end *end;
	unsigned int id;
	int i, at = 0;

	if (!strncmp(text, "make ", 5))
		return end_make(text + 5, answer);
	if (!strncmp(text, "all", 3))
		return end_all(text + 3, answer);
	if (sscanf(text, "%15s %u%n", name, &id, &at) != 2)
		return -EINVAL;
	end = end_find(id);
	if (!end)
		return -ENOENT;
	for (i = 0; i < ARRAY_SIZE(of_an_end); i++)
		if (!strcmp(of_an_end[i].name, name))
			return of_an_end[i].run(end, skip_spaces(text + at), answer);
	return -EOPNOTSUPP;
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
	mutex_lock(&command_lock);
	n = client_run(text, answer);
	mutex_unlock(&command_lock);
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
	.name = "ring_client",
	.fops = &client_fops,
	.mode = 0600,
};

static int __init client_init(void)
{
	return misc_register(&client_misc);
}
module_init(client_init);
/* no module_exit(): nobody can wait for the last callback's return */

MODULE_DESCRIPTION("a user of rings for tests");
MODULE_LICENSE("GPL");
