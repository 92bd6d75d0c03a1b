// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_TESTS_UNIT_FEW_THREADS_H
#define SMC_STEER_TESTS_UNIT_FEW_THREADS_H

#include <pthread.h>

#include <cstddef>

namespace smc_steer {

// While it lives this process gets no new thread (EAGAIN): none has room for such a stack.
class NoMoreThreads {
public:
    NoMoreThreads() {
        pthread_getattr_default_np(&before_);
        pthread_attr_t large;
        pthread_attr_init(&large);
        pthread_attr_setstacksize(&large, std::size_t{1} << 47);
        pthread_setattr_default_np(&large);
        pthread_attr_destroy(&large);
    }
    NoMoreThreads(const NoMoreThreads&) = delete;
    NoMoreThreads& operator=(const NoMoreThreads&) = delete;
    ~NoMoreThreads() {
        pthread_setattr_default_np(&before_);
        pthread_attr_destroy(&before_);
    }

private:
    pthread_attr_t before_{};
};

}  // namespace smc_steer

#endif  // SMC_STEER_TESTS_UNIT_FEW_THREADS_H
