// SPDX-License-Identifier: Apache-2.0
// The kernel's accessors, for the driver's pure headers in userspace. Include it before them.
#ifndef SMC_STEER_TESTS_UNIT_KMOD_ACCESSORS_H
#define SMC_STEER_TESTS_UNIT_KMOD_ACCESSORS_H

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define smp_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define smp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)

#endif  // SMC_STEER_TESTS_UNIT_KMOD_ACCESSORS_H
