// SPDX-License-Identifier: GPL-2.0-only
/* msg_zerocopy_realloc() is told of device memory: Linux 6.16 */
#include <linux/skbuff.h>

static __maybe_unused struct ubuf_info *probe(struct sock *sk)
{
	return msg_zerocopy_realloc(sk, 0, NULL, false);
}
