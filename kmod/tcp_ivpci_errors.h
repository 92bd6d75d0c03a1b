/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the driver says when it refuses rings (ivpci_rings.h), in the words of smc_steer/direct_abi.h. Only a lack of
 * memory has the agent try a smaller ring, or take one from another connection. Pure.
 */
#ifndef TCP_IVPCI_ERRORS_H
#define TCP_IVPCI_ERRORS_H

#include <linux/errno.h>
#include <smc_steer/direct_abi.h>

/* @other: what all else means, of that request. */
static inline enum direct_reason tcp_ivpci_refusal(long error, enum direct_reason other)
{
	switch (error) {
	case -ENOSPC:
	case -ENOMEM:
		return DIRECT_NO_MEMORY;
	case -ENODEV:
		return DIRECT_NO_DRIVER;
	case -ENETDOWN:
	case -ENETUNREACH:
		return DIRECT_NO_PEER;
	}
	return other;
}

#endif
