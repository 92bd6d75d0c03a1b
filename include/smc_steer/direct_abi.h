/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * /dev/tcp_ivpci: TCP connections of programs that kernel module tcp_ivpci has attached to
 * (docs/DIRECT.md). Opening it and each request take CAP_NET_ADMIN in the initial user namespace.
 *
 * Every request is one struct direct_request: it says which connection, and is given back with what is
 * known of it. A request that fails with ENOENT found no such connection; with EBUSY, `reason` says
 * why it was not attached to.
 *
 *   DIRECT_IDENTIFY    first_sent and first_received of the connection with these addresses.
 *   DIRECT_ATTACH      From now on the program's calls pass through the module. It is CLEAN, each direction
 *                      by itself, when nobody is inside of TCP any more who came another way.
 *   DIRECT_DETACH      The socket is TCP's own again, as it was. If a thread has its lock just now: when that
 *                      gives it back.
 *   DIRECT_LOOK        `state` of one that is attached to.
 *   DIRECT_DETACH_ALL  No connection is named.
 *   DIRECT_COUNTERS    struct direct_counters, since the module was loaded.
 */
#ifndef SMC_STEER_DIRECT_ABI_H
#define SMC_STEER_DIRECT_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* direct_request.state */
#define DIRECT_ATTACHED	       1
#define DIRECT_CLEAN_SENDING   2
#define DIRECT_CLEAN_RECEIVING 4

/* Why a connection was not attached to, or is no longer. */
enum direct_reason {
	DIRECT_NO_REASON,
	DIRECT_NOT_ESTABLISHED, /* closing, reset, or never connected */
	DIRECT_NOT_ACCEPTED,	/* by the program: it has no descriptor yet */
	DIRECT_OF_THE_KERNEL,	/* no program's: no file, or sk_user_data is somebody's */
	DIRECT_OTHER_PROTOCOL, /* an upper layer protocol (kTLS), sockmap, MPTCP, SMC, functions unknown */
	DIRECT_IN_REPAIR, /* TCP_REPAIR */
	DIRECT_ALREADY,	  /* attached */
	DIRECT_LOCKED,	  /* a thread has its lock just now: once more */
	DIRECT_ASKED,	  /* its program is asking for something that needs TCP's own socket */
	DIRECT_REASONS,
};

struct direct_request {
	__s32 fd;     /* of the connection's socket, -1: by addresses; for tests */
	__s32 net;    /* descriptor of its network namespace, -1: the caller's */
	__u16 family; /* AF_INET or AF_INET6 */
	__be16 local_port;
	__be16 remote_port;
	__u16 unused;	/* 0 */
	__u8 local[16]; /* IPv4: the first four bytes */
	__u8 remote[16];
	/*
	 * Sequence numbers of the first bytes, as DIRECT_IDENTIFY has them: addresses are used again, and the
	 * connection that was meant may be over.
	 */
	__u32 first_sent;
	__u32 first_received;
	__u32 reason; /* enum direct_reason, answered */
	__u32 state;  /* likewise */
};

struct direct_counters {
	__u64 attached; /* all that ever were */
	__u64 detached; /* by a request, or with the module */
	__u64 closed;	/* by their programs, or over */
	__u64 yielded;	/* their program asked for something that needs TCP's own socket */
	__u64 clean_sending;
	__u64 clean_receiving;
	__u64 rounds; /* grace periods waited for */
	/* who gave back the lock of a clean one and had not come through the module: SOL_SOCKET options, `ss` */
	__u64 strangers;
	__u64 refused[DIRECT_REASONS];
};

#define DIRECT_IOC_MAGIC  0xd7
#define DIRECT_IDENTIFY	  _IOWR(DIRECT_IOC_MAGIC, 1, struct direct_request)
#define DIRECT_ATTACH	  _IOWR(DIRECT_IOC_MAGIC, 2, struct direct_request)
#define DIRECT_DETACH	  _IOWR(DIRECT_IOC_MAGIC, 3, struct direct_request)
#define DIRECT_LOOK	  _IOWR(DIRECT_IOC_MAGIC, 4, struct direct_request)
#define DIRECT_DETACH_ALL _IO(DIRECT_IOC_MAGIC, 5)
#define DIRECT_COUNTERS	  _IOR(DIRECT_IOC_MAGIC, 6, struct direct_counters)

#endif
