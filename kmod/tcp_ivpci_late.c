// SPDX-License-Identifier: GPL-2.0-only
/*
 * getsockopt() reads its arguments before it takes the socket's lock, and can sleep there (userfaultfd, swap) for
 * as long as the program likes: no grace period waits for it, and no lock tells of it. Of what it does then only
 * TCP_ZEROCOPY_RECEIVE takes bytes. So after the grace period one looks who is in that system call: who is
 * not, or came through us, cannot be on the way with TCP's own functions. io_uring has none of these.
 */
#include <linux/audit.h>
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <asm/syscall.h>
#include <asm/unistd.h>

#include "tcp_ivpci.h"

#ifdef CONFIG_X86
/* what 32-bit programs have */
#define TCP_IVPCI_IA32_SOCKETCALL 102
#define TCP_IVPCI_IA32_GETSOCKOPT 365
#define TCP_IVPCI_X32_GETSOCKOPT  (0x40000000 + 542)
#endif

/* Under RCU, which keeps its stack. */
static bool tcp_ivpci_asks(struct task_struct *task)
{
	void *stack = READ_ONCE(task->stack);
	unsigned long args[6];
	struct pt_regs *regs;
	int call;

	if (!stack || (READ_ONCE(task->flags) & PF_KTHREAD))
		return false;
	/* not task_pt_regs(task): the stack of one that ends may go between two looks at it */
	regs = stack + ((void *)task_pt_regs(current) - task_stack_page(current));
	call = syscall_get_nr(task, regs);
	syscall_get_arguments(task, regs, args);
#ifdef CONFIG_X86
	if (syscall_get_arch(task) == AUDIT_ARCH_I386) {
		if (call == TCP_IVPCI_IA32_SOCKETCALL)
			return args[0] == SYS_GETSOCKOPT;
		if (call != TCP_IVPCI_IA32_GETSOCKOPT)
			return false;
	} else if (call != __NR_getsockopt && call != TCP_IVPCI_X32_GETSOCKOPT) {
		return false;
	}
#else
	if (call != __NR_getsockopt)
		return false;
#endif
	return (int)args[1] == SOL_TCP && (int)args[2] == TCP_ZEROCOPY_RECEIVE;
}

/* After a grace period. Somebody may still be about to take bytes; of whichever socket. */
bool tcp_ivpci_late(struct tcp_ivpci_sock *ts)
{
	struct task_struct *process, *task;
	bool late = false;

	rcu_read_lock();
	for_each_process_thread(process, task) late =
		late || (tcp_ivpci_asks(task) && !tcp_ivpci_is_in(ts, task, false));
	rcu_read_unlock();
	return late;
}
