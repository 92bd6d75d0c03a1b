// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/broker/client.h"

namespace smc_steer::tests {

bool eventually(const std::function<bool()>& done, milliseconds limit) {
    auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end) {
            return done();
        }
        std::this_thread::sleep_for(milliseconds(2));
    }
    return true;
}

TempDir::TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ivpci-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr) << strerror(errno);
    path_ = pattern;
}

TempDir::~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Process::Process(std::vector<std::string> command, const TempDir& dir, const std::string& name)
    : out_(dir.path(name + ".out")), err_(dir.path(name + ".err")) {
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (std::string& word : command) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    // A former process of this name must not be what a reader of the files sees.
    std::filesystem::remove(out_);
    std::filesystem::remove(err_);
    pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) {
        // A test that is killed must not leave its broker or QEMU behind.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(125);  // it died before we could ask
        }
        int in = open("/dev/null", O_RDONLY);
        int out = open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        int err = open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) {
            _exit(126);
        }
        execvp(argv[0], argv.data());
        _exit(127);
    }
    EXPECT_GT(pid_, 0);
}

Process::~Process() {
    if (running()) {
        kill(pid_, SIGKILL);
        wait();
    }
}

void Process::signal(int number) const { EXPECT_EQ(kill(pid_, number), 0); }

bool Process::running() {
    if (!code_) {
        int status = 0;
        if (waitpid(pid_, &status, WNOHANG) == pid_) {
            code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
    }
    return !code_;
}

int Process::wait(milliseconds limit) {
    eventually([this] { return !running(); }, limit);
    return code_.value_or(-1);
}

namespace {

std::string contents(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

}  // namespace

std::string Process::out() const { return contents(out_); }
std::string Process::err() const { return contents(err_); }

}  // namespace smc_steer::tests
