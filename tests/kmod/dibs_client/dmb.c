// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMBs of our own, and peers' that we attached or write into.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "dibs_client.h"

struct attachment {
	struct list_head list;
	u64 token;
};

int client_register(const uuid_t *gid, u32 len, struct client_dmb **out)
{
	struct dibs_dmb dmb = {.dmb_len = len};
	struct client_dmb *own;
	int rc;

	uuid_copy(&dmb.rgid, gid);
	rc = state.dibs->ops->register_dmb(state.dibs, &dmb, &the_client);
	if (rc)
		return rc;
	own = &state.dmbs[dmb.idx];
	own->dmb = dmb;
	atomic64_set(&own->signals, 0);
	*out = own;
	return 0;
}

int client_unregister(struct client_dmb *own)
{
	int rc = state.dibs->ops->unregister_dmb(state.dibs, &own->dmb);

	own->dmb.dmb_tok = 0;
	return rc;
}

struct client_dmb *client_find(u64 token)
{
	u32 i;

	for (i = 0; token && i < state.max_dmbs; i++)
		if (state.dmbs[i].dmb.dmb_tok == token)
			return &state.dmbs[i];
	return NULL;
}

void client_drop_everything(void)
{
	struct attachment *a, *next;
	u32 i;

	pingpong_stop();
	list_for_each_entry_safe(a, next, &state.attachments, list) {
		state.dibs->ops->detach_dmb(state.dibs, a->token);
		list_del(&a->list);
		kfree(a);
	}
	for (i = 0; i < state.max_dmbs; i++)
		if (state.dmbs[i].dmb.dmb_tok)
			client_unregister(&state.dmbs[i]);
}

int cmd_register(const char *words, char *answer)
{
	struct client_dmb *own;
	uuid_t gid;
	u32 len;
	int rc;

	if (uuid_parse(words, &gid) || sscanf(words + UUID_STRING_LEN, "%u", &len) != 1)
		return -EINVAL;
	rc = client_register(&gid, len, &own);
	if (rc)
		return rc;
	return scnprintf(answer, ANSWER_SIZE, "%llx %u %u\n", own->dmb.dmb_tok, own->dmb.idx,
			 own->dmb.dmb_len);
}

/* A token that is not ours goes to the device all the same: it has to refuse it. */
int cmd_unregister(const char *words, char *answer)
{
	struct dibs_dmb foreign = {};
	struct client_dmb *own;
	u64 token;

	if (sscanf(words, "%llx", &token) != 1)
		return -EINVAL;
	own = client_find(token);
	if (own)
		return client_unregister(own);
	foreign.dmb_tok = token;
	foreign.idx = token & 0xffff;
	return state.dibs->ops->unregister_dmb(state.dibs, &foreign);
}

int cmd_peek(const char *words, char *answer)
{
	struct client_dmb *own;
	u64 token;
	u32 offset;

	if (sscanf(words, "%llx %u", &token, &offset) != 2)
		return -EINVAL;
	own = client_find(token);
	if (!own || offset > own->dmb.dmb_len - sizeof(u64))
		return -ENOENT;
	return scnprintf(answer, ANSWER_SIZE, "%llx\n",
			 get_unaligned((u64 *)(own->dmb.cpu_addr + offset)));
}

int cmd_signals(const char *words, char *answer)
{
	struct client_dmb *own;
	u64 token;

	if (sscanf(words, "%llx", &token) != 1)
		return -EINVAL;
	own = client_find(token);
	if (!own)
		return -ENOENT;
	return scnprintf(answer, ANSWER_SIZE, "%lld\n", atomic64_read(&own->signals));
}

int cmd_attach(const char *words, char *answer)
{
	struct dibs_dmb dmb = {};
	struct attachment *a;
	int rc;

	if (sscanf(words, "%llx", &dmb.dmb_tok) != 1)
		return -EINVAL;
	if (!state.dibs->ops->attach_dmb)
		return -EOPNOTSUPP;
	a = kzalloc(sizeof(*a), GFP_KERNEL);
	if (!a)
		return -ENOMEM;
	rc = state.dibs->ops->attach_dmb(state.dibs, &dmb);
	if (rc) {
		kfree(a);
		return rc;
	}
	a->token = dmb.dmb_tok;
	list_add(&a->list, &state.attachments);
	return scnprintf(answer, ANSWER_SIZE, "%u\n", dmb.dmb_len);
}

int cmd_detach(const char *words, char *answer)
{
	struct attachment *a;
	u64 token;

	if (sscanf(words, "%llx", &token) != 1)
		return -EINVAL;
	if (!state.dibs->ops->detach_dmb)
		return -EOPNOTSUPP;
	list_for_each_entry(a, &state.attachments, list) {
		if (a->token != token)
			continue;
		list_del(&a->list);
		kfree(a);
		break;
	}
	return state.dibs->ops->detach_dmb(state.dibs, token);
}

int cmd_move(const char *words, char *answer)
{
	u32 offset, size, byte, signal;
	void *data = NULL;
	u64 token;
	int rc;

	if (sscanf(words, "%llx %u %u %x %u", &token, &offset, &size, &byte, &signal) != 5 ||
	    size > SZ_1M)
		return -EINVAL;
	if (size) {
		data = kvmalloc(size, GFP_KERNEL);
		if (!data)
			return -ENOMEM;
		memset(data, byte, size);
	}
	rc = state.dibs->ops->move_data(state.dibs, token, 0, signal, offset, data, size);
	kvfree(data);
	return rc;
}
