// SPDX-License-Identifier: GPL-2.0-only
/* struct proto has splice_eof(): since Linux 6.5 */
#include <net/sock.h>

static __maybe_unused void probe(struct proto *proto)
{
	proto->splice_eof = NULL;
}
