// SPDX-License-Identifier: Apache-2.0
// faults: does one thing again and again, and lets another of the kernel's allocations in it fail
// each time: the first, the second, ... until there is none left to fail
// (/proc/thread-self/fail-nth of a kernel with CONFIG_FAILSLAB).
//
//   faults open PATH               opens a file
//   faults connect ADDRESS PORT    connects to `many serve`; what comes back is compared
//
// Prints one JSON object: how often it was done, how often an allocation failed, how often the
// thing still worked. Exit codes: 1 a wrong byte or nothing came back, 2 wrong command line, 3 no
// fail-nth.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

namespace {

enum class Outcome { kWorked, kFailed, kWrong };

// Open once: arming allocates nothing.
class FailNth {
public:
    FailNth() : fd_(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC)) {}
    [[nodiscard]] bool there() const { return fd_ >= 0; }
    void arm(unsigned n) const {
        const std::string text = std::to_string(n);
        if (pwrite(fd_, text.data(), text.size(), 0) < 0) {
            std::perror("faults: fail-nth");
        }
    }
    // False: fewer allocations than that were made.
    [[nodiscard]] bool disarm() const {
        std::array<char, 16> text{};
        const bool failed =
            pread(fd_, text.data(), text.size() - 1, 0) > 0 && std::atoi(text.data()) == 0;
        arm(0);
        return failed;
    }

private:
    int fd_;
};

const FailNth* fail_nth = nullptr;
bool failed = false;

// What is between the two is what fails.
void begin(unsigned n) { fail_nth->arm(n); }
void end() { failed = fail_nth->disarm(); }

Outcome open_file(unsigned n, const char* path) {
    begin(n);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    end();
    if (fd < 0) {
        return Outcome::kFailed;
    }
    close(fd);
    return Outcome::kWorked;
}

// Only connect() is disturbed: afterwards the connection has to work, over whatever it is.
Outcome connect_to(unsigned n, const sockaddr_in& address) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    begin(n);
    const int rc = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    end();
    if (rc != 0) {
        close(fd);
        return Outcome::kFailed;
    }
    const timeval limit{20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    std::array<uint8_t, 4096> sent;
    std::array<uint8_t, 4096> back{};
    for (size_t i = 0; i < sent.size(); ++i) {
        sent[i] = static_cast<uint8_t>(i * 31 + n);
    }
    Outcome outcome = Outcome::kWrong;
    if (send(fd, sent.data(), sent.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(sent.size()) &&
        recv(fd, back.data(), back.size(), MSG_WAITALL) == static_cast<ssize_t>(back.size()) &&
        sent == back) {
        outcome = Outcome::kWorked;
    } else {
        std::fprintf(stderr, "faults: connect with allocation %u failing: %s\n", n,
                     std::strerror(errno));
    }
    close(fd);
    return outcome;
}

int enumerate(const std::function<Outcome(unsigned)>& thing) {
    unsigned done = 0;
    unsigned failures = 0;
    unsigned worked = 0;
    for (unsigned n = 1;; ++n) {
        failed = false;
        const Outcome outcome = thing(n);
        if (outcome == Outcome::kWrong) {
            return 1;
        }
        ++done;
        worked += outcome == Outcome::kWorked ? 1 : 0;
        if (!failed) {
            break;  // it has fewer allocations than n
        }
        ++failures;
    }
    std::printf("{\"done\": %u, \"failures\": %u, \"worked\": %u}\n", done, failures, worked);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    const int words = mode == "open" ? 3 : 4;
    if (argc != words || (mode != "open" && mode != "connect")) {
        std::fprintf(stderr, "usage: faults open PATH | connect ADDRESS PORT\n");
        return 2;
    }
    const FailNth nth;
    fail_nth = &nth;
    if (!nth.there()) {
        std::perror("faults: /proc/thread-self/fail-nth");
        return 3;
    }
    if (mode == "open") {
        return enumerate([&](unsigned n) { return open_file(n, argv[2]); });
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(std::atoi(argv[3]));
    if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
        std::fprintf(stderr, "faults: %s is no IPv4 address\n", argv[2]);
        return 2;
    }
    return enumerate([&](unsigned n) { return connect_to(n, address); });
}
