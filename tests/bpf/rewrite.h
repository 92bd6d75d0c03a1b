/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#ifndef TESTS_REWRITE_H
#define TESTS_REWRITE_H

#include <linux/types.h>

/* All in network byte order. */
struct rewrite_rule {
    __be32 service;
    __be32 backend;
    __be16 service_port;
    __be16 backend_port;
};

#endif
