// SPDX-License-Identifier: Apache-2.0
// The agent's process id as BPF programs see it, also from inside a pid namespace whose /proc says
// that it is 1. Needs what the agent needs; without it there is nothing to be tested here.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/unique_fd.h"
#include "agent/kernel/self.h"

namespace smc_steer {
namespace {

constexpr ino_t kFirstPidNamespace = 0xeffffffc;  // PROC_PID_INIT_INO, linux/proc_ns.h

class Self : public ::testing::Test {
protected:
    void SetUp() override {
        auto own = tgid_in_kernel();
        if (!own && (own.error().code == EPERM || own.error().code == ENOSYS)) {
            GTEST_SKIP() << own.error().message;
        }
        ASSERT_TRUE(own) << own.error().message;
        own_ = *own;
        struct stat st {};
        first_ = stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == kFirstPidNamespace;
    }

    std::uint32_t own_ = 0;
    bool first_ = false;  // we are in the initial pid namespace
};

TEST_F(Self, IsOurProcessId) {
    EXPECT_NE(own_, 0U);
    if (first_) {
        EXPECT_EQ(own_, static_cast<std::uint32_t>(getpid()));
    }
}

// A pod without hostPID: process 1 of its own namespace, with a /proc of its own.
TEST_F(Self, IsTheMachinesAlsoInAPod) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    UniqueFd from(ends[0]), to(ends[1]);
    const pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0 ||
            mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
            _exit(1);
        }
        const pid_t inner = fork();
        if (inner == 0) {
            if (mount("proc", "/proc", "proc", 0, nullptr) != 0) {
                _exit(1);
            }
            std::uint32_t said[2] = {static_cast<std::uint32_t>(getpid()),
                                     tgid_in_kernel().value_or(0)};
            _exit(write(to.get(), said, sizeof(said)) == sizeof(said) ? 0 : 1);
        }
        const auto known = static_cast<std::uint32_t>(inner);
        int status = 0;
        const bool good = waitpid(inner, &status, 0) == inner && status == 0;
        _exit(good && write(to.get(), &known, sizeof(known)) == sizeof(known) ? 0 : 1);
    }
    to.reset();
    int status = 0;
    ASSERT_EQ(waitpid(outer, &status, 0), outer);
    ASSERT_EQ(status, 0) << "no namespaces to be had";
    struct {
        std::uint32_t inside, kernel, outside;
    } said{};
    ASSERT_EQ(read(from.get(), &said, sizeof(said)), static_cast<ssize_t>(sizeof(said)));
    EXPECT_EQ(said.inside, 1U);
    EXPECT_NE(said.kernel, 0U);
    EXPECT_NE(said.kernel, 1U);
    EXPECT_NE(said.kernel, own_);
    if (first_) {
        EXPECT_EQ(said.kernel, said.outside);
    }
}

}  // namespace
}  // namespace smc_steer
