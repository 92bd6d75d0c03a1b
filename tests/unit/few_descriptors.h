// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_TESTS_UNIT_FEW_DESCRIPTORS_H
#define SMC_STEER_TESTS_UNIT_FEW_DESCRIPTORS_H

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace smc_steer {

// While it lives this process gets no new descriptor (EMFILE).
class NoMoreDescriptors {
public:
    NoMoreDescriptors() {
        EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
        // The lowest free number is the first that is refused.
        const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        EXPECT_GE(next, 0);
        close(next);
        rlimit few{static_cast<rlim_t>(next), before_.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    }
    NoMoreDescriptors(const NoMoreDescriptors&) = delete;
    NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;
    ~NoMoreDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

}  // namespace smc_steer

#endif  // SMC_STEER_TESTS_UNIT_FEW_DESCRIPTORS_H
