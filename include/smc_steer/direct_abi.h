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
 *                      gives it back; if bytes of a ring are unread: when they are read.
 *   DIRECT_LOOK        `state` of one that is attached to.
 *   DIRECT_DETACH_ALL  No connection is named.
 *   DIRECT_COUNTERS    struct direct_counters, since the module was loaded.
 *
 * And, with struct direct_rings, of one that is attached to and CLEAN (ivpci/ring_abi.h):
 *
 *   DIRECT_MAKE        A ring for what comes, which guest `generation` of `slot` is to write to.
 *                      `token` says where it is, to that guest.
 *   DIRECT_CONNECT     A ring for what goes: `token` is what the other end's DIRECT_MAKE answered. Both
 *                      ends have made theirs before.
 *   DIRECT_MOVE        What is sent from now on goes by the ring, where it can.
 *   DIRECT_BACK        By TCP. The rings stay.
 *   DIRECT_RETURN      Nothing comes or goes by rings any more, and their memory is given back. What is in
 *                      ours is read before TCP; the other end repeats by TCP what came too late.
 *   DIRECT_FLOW        `flow`: what went which way.
 */
#ifndef SMC_STEER_DIRECT_ABI_H
#define SMC_STEER_DIRECT_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* direct_request.state */
#define DIRECT_ATTACHED	       1
#define DIRECT_CLEAN_SENDING   2
#define DIRECT_CLEAN_RECEIVING 4
#define DIRECT_RINGS	       8  /* made and connected */
#define DIRECT_MOVED	       16 /* what is sent goes by the ring */

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
	DIRECT_NOT_ATTACHED,
	DIRECT_NOT_CLEAN, /* yet: somebody may be in TCP who came another way */
	DIRECT_NO_DRIVER, /* ivpci.ko is not loaded, or another version, or going; no such device */
	DIRECT_NO_MEMORY, /* for rings: a smaller one may be had, or one later */
	DIRECT_HAS_RINGS,
	DIRECT_NO_RING, /* to move to, or none that its receiver made for this */
	DIRECT_OPTIONS, /* SO_RCVLOWAT, a filter, timestamps of what is received */
	DIRECT_UNREAD,	/* bytes of an earlier ring are: later */
	/* no such guest (any more), it stands still, this one is no member, or the region's header is not trusted */
	DIRECT_NO_PEER,
	DIRECT_REASONS,
};

/* New reasons leave struct direct_counters, and so the number of DIRECT_COUNTERS, as they are. */
#define DIRECT_REASONS_ROOM 32

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

/* Of one connection, since it was attached to. */
struct direct_flow {
	__u64 ring_sent; /* bytes */
	__u64 tcp_sent;
	__u64 ring_received;
	__u64 tcp_received;
	__u64 records; /* sent */
	__u64 signals; /* to the other end, that there are some */
	__u64 room_signals;
	__u64 moves;
	__u64 repeats; /* records that came too late */
	__u64 full;    /* times that a full ring made it go by TCP */
};

struct direct_rings {
	struct direct_request connection;
	__u32 device;	  /* N of /dev/ivpciN */
	__u32 slot;	  /* the other end's guest, as sysfs `members` has it */
	__u32 generation; /* likewise */
	__u32 size;	  /* 16 KiB << n, 1 MiB at most; answered: of the ring, if there is one */
	__u64 token;
	struct direct_flow flow; /* answered */
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
	__u64 made;			    /* pairs of rings */
	__u64 returned;			    /* likewise */
	__u64 lies;			    /* of other ends: connections that were reset */
	struct direct_flow flow;	    /* of all that are no more */
	__u64 refused[DIRECT_REASONS_ROOM]; /* by reason */
};

#define DIRECT_IOC_MAGIC  0xd7
#define DIRECT_IDENTIFY	  _IOWR(DIRECT_IOC_MAGIC, 1, struct direct_request)
#define DIRECT_ATTACH	  _IOWR(DIRECT_IOC_MAGIC, 2, struct direct_request)
#define DIRECT_DETACH	  _IOWR(DIRECT_IOC_MAGIC, 3, struct direct_request)
#define DIRECT_LOOK	  _IOWR(DIRECT_IOC_MAGIC, 4, struct direct_request)
#define DIRECT_DETACH_ALL _IO(DIRECT_IOC_MAGIC, 5)
#define DIRECT_COUNTERS	  _IOR(DIRECT_IOC_MAGIC, 6, struct direct_counters)
#define DIRECT_MAKE	  _IOWR(DIRECT_IOC_MAGIC, 7, struct direct_rings)
#define DIRECT_CONNECT	  _IOWR(DIRECT_IOC_MAGIC, 8, struct direct_rings)
#define DIRECT_MOVE	  _IOWR(DIRECT_IOC_MAGIC, 9, struct direct_rings)
#define DIRECT_BACK	  _IOWR(DIRECT_IOC_MAGIC, 10, struct direct_rings)
#define DIRECT_RETURN	  _IOWR(DIRECT_IOC_MAGIC, 11, struct direct_rings)
#define DIRECT_FLOW	  _IOWR(DIRECT_IOC_MAGIC, 12, struct direct_rings)

#endif
