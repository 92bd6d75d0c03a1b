# SPDX-License-Identifier: Apache-2.0
"""The splat detector against what kernels print, and against what only looks like it."""

import unittest

from harness import splat

SPLATS = {
    "WARN": [
        "[   10.123456] WARNING: CPU: 1 PID: 612 at net/smc/smc_ism.c:88 smc_ism_put+0x3a/0x50 [smc]",
        "[   10.123456] WARNING: net/core/skbuff.c:1234 at skb_release_head_state+0x96/0xa0, CPU#0: iperf3/377",
        "[    3.000001][    T1] WARNING: kernel/locking/mutex.c:562 at mutex_lock+0x1/0x2, CPU#1: sh/1",
        "[    3.000001] WARNING: stack recursion on stack type 4",
    ],
    "lockdep": [
        "[   55.100000] WARNING: possible circular locking dependency detected",
        "[   55.100000] WARNING: possible recursive locking detected",
        "[   55.100000] WARNING: inconsistent lock state",
        "[   55.100000] WARNING: suspicious RCU usage",
        "[   55.100000] WARNING: bad unlock balance detected!",
        "[   55.100000] WARNING: possible irq lock inversion dependency detected",
        "[   55.100000] WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
        "[   55.100000] WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
        "[   55.100000] WARNING: held lock freed!",
        "[   55.100000] WARNING: lock held when returning to user space!",
        "[   55.100000] INFO: trying to register non-static key.",
        "[   55.100000] DEBUG_LOCKS_WARN_ON(lock->magic != lock)",
    ],
    "KASAN": [
        "[   12.000000] BUG: KASAN: slab-use-after-free in ivpci_unregister_dmb+0x4f/0x90 [ivpci]",
        "[   12.000000] BUG: KASAN: slab-out-of-bounds in memcpy+0x1/0x2",
        "[   12.000000] BUG: KFENCE: use-after-free read in test+0x1/0x2",
        "[   12.000000] BUG: KCSAN: data-race in a / b",
    ],
    "UBSAN": [
        "[   12.000000] UBSAN: array-index-out-of-bounds in kmod/ivpci_dmb.c:120:9",
        "[   12.000000] UBSAN: shift-out-of-bounds in lib/x.c:1:2",
    ],
    "lockup": [
        "[  100.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [kworker/0:1:33]",
        "[  100.000000] NMI watchdog: Watchdog detected hard LOCKUP on cpu 1",
        "[  100.000000] watchdog: Watchdog detected hard LOCKUP on cpu 1",
        "[  100.000000] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!",
    ],
    "BUG": [
        "[    8.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "[    8.000000] BUG: unable to handle page fault for address: ffffc90000000000",
        "[    8.000000] BUG: scheduling while atomic: smc-agent/411/0x00000002",
        "[    8.000000] BUG: sleeping function called from invalid context at mm/slab.h:413",
        "[    8.000000] BUG: spinlock bad magic on CPU#0, swapper/0/1",
        "[    8.000000] BUG: Bad page state in process iperf3  pfn:0x12345",
        "[    8.000000] BUG: Bad rss-counter state mm:0000000000000000 type:MM_FILEPAGES val:1",
        "[    8.000000] kernel BUG at mm/slub.c:4321!",
    ],
    "Oops": [
        "[    8.000000] Oops: 0000 [#1] SMP NOPTI",
        "[    8.000000] Oops: Oops: 0002 [#1] SMP",
        "[    8.000000] Oops: general protection fault, probably for non-canonical address 0xdead",
        "[    8.000000] general protection fault, probably for non-canonical address 0xdead: 0000",
        "[    8.000000] Unable to handle kernel paging request at virtual address ffff",
        "[    8.000000] Internal error: Oops: 96000004 [#1] SMP",
        "[    8.000000] invalid opcode: 0000 [#1] SMP",
        "[    8.000000] divide error: 0000 [#1] SMP",
    ],
    "hung task": [
        "[  200.000000] INFO: task iperf3:512 blocked for more than 30 seconds.",
        "[  200.000000] INFO: task kworker/1:2:55 blocked for more than 122 seconds.",
    ],
    "RCU stall": [
        "[  200.000000] rcu: INFO: rcu_preempt self-detected stall on CPU",
        "[  200.000000] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "[  200.000000] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... }",
        "[  200.000000] INFO: rcu_sched self-detected stall on CPU",
    ],
    "refcount": [
        "[   31.000000] refcount_t: underflow; use-after-free.",
        "[   31.000000] refcount_t: addition on 0; use-after-free.",
        "[   31.000000] refcount_t: saturated; leaking memory.",
    ],
    "ref_tracker": [
        "[   31.000000] ref_tracker: net notrefcnt@00000000d1 has 1/2 users at",
        "[   31.000000] ref_tracker: leaked reference.",
    ],
    "netdevice": [
        "[   31.000000] unregister_netdevice: waiting for lo to become free. Usage count = 2",
    ],
    "list": [
        "[   31.000000] list_add corruption. prev->next should be next (ffff), but was 0.",
        "[   31.000000] list_del corruption, ffff888->next is LIST_POISON1 (dead000000000100)",
        "[   31.000000] list_add double add: new=ffff, prev=ffff, next=ffff.",
        "[   31.000000] BUG kmalloc-64 (Not tainted): Left Redzone overwritten".replace("BUG", "=== BUG"),
    ],
    "ODEBUG": ["[   31.000000] ODEBUG: free active (active state 0) object: ffff type: work_struct"],
    "kmemleak": [
        "[   31.000000] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    ],
    "sysfs": ["[    4.000000] sysfs: cannot create duplicate filename '/class/misc/ivpci0'"],
    "memory": [
        "[    4.000000] modprobe: page allocation failure: order:9, mode:0xcc0(GFP_KERNEL)",
        "[    4.000000] Out of memory: Killed process 321 (iperf3) total-vm:1kB",
    ],
    "module": [
        "[    4.000000] ivpci: Unknown symbol dibs_dev_alloc (err -2)",
        "[    4.000000] ivpci: disagrees about version of symbol module_layout",
    ],
    "crash of a program": [
        "[    4.000000] smc-agent[411]: segfault at 8 ip 000055d0 sp 00007ffc error 4 in smc-agent",
        "[    4.000000] traps: smc-policy[77] general protection fault ip:55 sp:7f error:0",
    ],
    "panic": [
        "[    1.000000] Kernel panic - not syncing: VFS: Unable to mount root fs",
        "[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
    ],
}

INNOCENT = """\
[    0.000000] Linux version 7.3.4 (gcc (Debian 12.2.0-14+deb12u1) 12.2.0) #1 SMP PREEMPT
[    0.000000] Command line: console=ttyS0 panic=-1 oops=panic
[    0.012345] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks
[    0.100000] rcu: Hierarchical RCU implementation.
[    0.100000] kmemleak: Kernel memory leak detector initialized (mem pool available: 15630)
[    0.200000] clocksource: Watchdog remote CPU 1 read timed out
[    0.300000] Warning: unable to open an initial console.
[    0.400000] x86/mm: Checked W+X mappings: passed, no W+X pages found.
[    0.500000] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    0.600000] debug: unmapping init memory
[    1.000000] smc: removing smcd device 0000:00:07.0 without pnetid
[    1.000000] ivpci 0000:00:07.0: peer 2 is gone
[    1.100000] ivpci: loading out-of-tree module taints kernel.
[    1.100000] ivpci: module verification failed: signature and/or required key missing - tainting kernel
[    2.000000] sysrq: Show backtrace of all active CPUs
[    2.000000] Call Trace:
[    2.000000]  <TASK>
[    3.000000] TCP: request_sock_TCP: Possible SYN flooding on port 5201. Sending cookies.
[    4.000000] INFO: NMI handler (x) took too long to run: 1.234 msecs
[    5.000000] systemd[1]: Started Oops collector.
"""

TRACE = """\
[   10.1] modprobe ok
[   10.2] ------------[ cut here ]------------
[   10.2] refcount_t: underflow; use-after-free.
[   10.2] WARNING: CPU: 0 PID: 1 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110
[   10.2] Modules linked in: ivpci(O) smc dibs
[   10.2] Call Trace:
[   10.2] ---[ end trace 0000000000000000 ]---
[   11.0] quiet again
[   12.0] BUG: sleeping function called from invalid context at mm/slab.h:413
[   12.0] Modules linked in: ivpci(O)
"""


class SplatTest(unittest.TestCase):
    def test_every_kind_is_found(self):
        for kind, lines in SPLATS.items():
            for line in lines:
                with self.subTest(line=line):
                    found = splat.find(f"[    1.000000] before\n{line}\n[  999.000000] after\n")
                    self.assertEqual([splat.kind for splat in found], [kind])

    def test_innocent_lines(self):
        for line in INNOCENT.splitlines():
            with self.subTest(line=line):
                self.assertEqual(splat.find(line), [])
        self.assertEqual(splat.find(INNOCENT), [])

    def test_a_trace_is_one_splat_named_by_its_reason(self):
        found = splat.find(TRACE)
        self.assertEqual([each.kind for each in found], ["refcount", "BUG"])
        self.assertEqual(found[0].line, "refcount_t: underflow; use-after-free.")
        self.assertIn("Modules linked in: ivpci(O) smc dibs", found[0].text)
        self.assertNotIn("quiet again", found[0].text)

    def test_a_splat_right_after_another_is_seen(self):
        text = TRACE.replace("[   11.0] quiet again\n", "")
        self.assertEqual(len(splat.find(text)), 2)

    def test_a_panic_may_be_asked_for_other_splats_may_not(self):
        panic = SPLATS["panic"][0]
        self.assertEqual(splat.find(panic, panic_expected=True), [])
        self.assertEqual(len(splat.find(panic + "\n" + TRACE, panic_expected=True)), 2)

    def test_without_stamps_and_with_carriage_returns(self):
        self.assertEqual(len(splat.find("BUG: unable to handle page fault\r\n")), 1)

    def test_torn_log(self):
        self.assertEqual(splat.find(""), [])
        self.assertEqual(len(splat.find("[    1.0] ------------[ cut here ]------------")), 1)


if __name__ == "__main__":
    unittest.main()
