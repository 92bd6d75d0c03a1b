/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Kernel module smc_join <-> agent: a program's TCP connection carried on by an SMC socket.
 *
 * The agent has one end of a connection over the loopback interface, the program the other one. On
 * its own end it sets the upper layer protocol (TCP_ULP) "smc_join", which takes CAP_NET_ADMIN (in
 * the initial user namespace) and loads the module, and has these options then, of level SOL_SMC_JOIN:
 *
 *   SMC_JOIN_PREPARE  int, ignored: looks for the program's end.
 *   SMC_JOIN_SEND     struct smc_join_wire, after SMC_JOIN_PREPARE: from now on what the program sends goes
 *                     there. Some may still come by TCP, of who was inside of it: the others wait
 *                     until the agent has taken that, which it is to do when it has sent it (MSG_PEEK
 *                     before). Whatever else happens is the agent's business as before.
 *   SMC_JOIN_RECEIVE  int, ignored; after SMC_JOIN_SEND: the program receives from the wire, after
 *                     what the agent has sent it. From now on the module holds both sockets, and ends
 *                     each when the other one ends: the agent is not needed any more, and may
 *                     close the wire, or die. When the connection is over, its socket has EPOLLHUP.
 *   SMC_JOIN_INFO     getsockopt(), struct smc_join_info.
 *   SMC_JOIN_TIMERS   int, a file descriptor: of a connected SMC socket (of IPv6; SMC or fallen back to
 *                     TCP), or of a listener for those that it accepts. The kernel closes it as it
 *                     does a program's TCP socket from now on: a FIN that gets lost is sent again.
 *                     ENOTCONN: it is closed. No matter of this socket, which may be any.
 *
 * EAGAIN: it cannot be done just now. Another error: never; then nothing has changed.
 */
#ifndef SMC_STEER_JOIN_ABI_H
#define SMC_STEER_JOIN_ABI_H

#include <linux/types.h>

#define SMC_JOIN_ULP "smc_join"

#define SOL_SMC_JOIN 0x534a /* no level of the kernel's */

#define SMC_JOIN_PREPARE 1
#define SMC_JOIN_SEND	 2
#define SMC_JOIN_RECEIVE 3
#define SMC_JOIN_INFO	 4
#define SMC_JOIN_TIMERS	 5

/*
 * At the other end of the wire is this module or an agent. SMC has no reset to send: between the two an
 * urgent byte, which carries no data then, stands for one.
 */
#define SMC_JOIN_URGENT_IS_RESET 1

struct smc_join_wire {
	__s32 fd; /* of a connected SMC socket */
	__u32 flags;
};

struct smc_join_info {
	__u64 sent; /* bytes, by the program to the wire */
	__u64 received;
};

#endif
