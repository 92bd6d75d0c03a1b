// SPDX-License-Identifier: Apache-2.0
// The kernel's accessors, for the driver's pure headers in userspace. Include it before them.
#ifndef SMC_STEER_TESTS_UNIT_KMOD_ACCESSORS_H
#define SMC_STEER_TESTS_UNIT_KMOD_ACCESSORS_H

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define smp_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define smp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#if defined(__x86_64__)
// As the kernel's. Not __sync_synchronize(), which the thread sanitizer does not know.
#define virt_mb() asm volatile("lock; addl $0,-4(%%rsp)" ::: "memory", "cc")
#else
#define virt_mb() __sync_synchronize()
#endif

#endif  // SMC_STEER_TESTS_UNIT_KMOD_ACCESSORS_H
