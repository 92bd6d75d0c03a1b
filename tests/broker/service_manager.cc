// SPDX-License-Identifier: Apache-2.0
#include "tests/broker/service_manager.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace smc_steer::tests {

ServiceManager::ServiceManager(const TempDir& dir) : path_(dir.path("notify")) {
    socket_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    thread_ = std::thread([this] {
        while (!end_) {
            pollfd p{socket_.get(), POLLIN, 0};
            poll(&p, 1, 20);
            listen();
        }
    });
}

ServiceManager::~ServiceManager() {
    end_ = true;
    thread_.join();
}

size_t ServiceManager::kept() {
    listen();
    std::lock_guard lock(mutex_);
    return store_.size();
}

pid_t ServiceManager::start(const std::vector<std::string>& command, const std::string& err) {
    std::unique_lock lock(mutex_);
    ready_ = false;
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (const std::string& word : command) {
        argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    std::string names;
    std::vector<int> fds;
    for (auto& [name, fd] : store_) {
        names += (names.empty() ? "" : ":") + name;
        fds.push_back(fd.get());
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(125);
    }
    dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 2);
    // First out of the way of the places they are to have, then there.
    int n = static_cast<int>(fds.size());
    for (int& fd : fds) {
        fd = fcntl(fd, F_DUPFD, 3 + n);
    }
    for (int i = 0; i < n; ++i) {
        dup2(fds[static_cast<size_t>(i)], 3 + i);
    }
    close_range(static_cast<unsigned>(3 + n), ~0U, 0);
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    if (n > 0) {
        setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
        setenv("LISTEN_FDS", std::to_string(n).c_str(), 1);
        setenv("LISTEN_FDNAMES", names.c_str(), 1);
    }
    execv(argv[0], argv.data());
    _exit(127);
}

void ServiceManager::listen() {
    std::lock_guard lock(mutex_);
    while (true) {
        char text[4096];
        iovec iov{text, sizeof(text)};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
        msghdr header{};
        header.msg_iov = &iov;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        ssize_t n = recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0) {
            return;
        }
        UniqueFd fd;
        for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                int raw = -1;
                std::memcpy(&raw, CMSG_DATA(c), sizeof(raw));
                fd.reset(raw);
            }
        }
        take(std::string(text, static_cast<size_t>(n)), std::move(fd));
    }
}

void ServiceManager::take(const std::string& text, UniqueFd fd) {
    std::map<std::string, std::string> words;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        size_t equals = line.find('=');
        words[line.substr(0, equals)] = line.substr(equals + 1);
    }
    if (words.count("FDSTORE") != 0) {
        EXPECT_TRUE(fd) << text;
        EXPECT_EQ(store_.count(words["FDNAME"]), 0U) << "twice: " << words["FDNAME"];
        store_[words["FDNAME"]] = std::move(fd);
    }
    if (words.count("FDSTOREREMOVE") != 0) {
        EXPECT_EQ(store_.erase(words["FDNAME"]), 1U) << "not there: " << words["FDNAME"];
    }
    ready_ = ready_ || words.count("READY") != 0;
}

bool ServiceManager::ready(milliseconds limit) {
    return eventually(
        [this] {
            std::lock_guard lock(mutex_);
            return ready_;
        },
        limit);
}

}  // namespace smc_steer::tests
