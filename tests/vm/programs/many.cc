// SPDX-License-Identifier: Apache-2.0
// many: connections by the thousand, every byte of each checked. Knows nothing of SMC.
//
//   many serve PORT                       until killed; echoes, in one thread
//   many run ADDRESS PORT COUNT BYTES     COUNT connections at the same time, BYTES there and back
//   many each ADDRESS PORT COUNT BYTES    the same, one connection after the other
//
// run connects all, says "connected", then sends and checks, the connections in turn, twice; prints
// one JSON object and holds them all until it is killed. SIGUSR1: once more, then it says "again".
// each prints one object, too. Exit codes: 1 a wrong byte, 2 wrong command line, 3 a connection
// failed.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kBlock = 8 << 10;  // less than the smallest buffer: an echo never waits

int fail(const char* what) {
    std::fprintf(stderr, "many: %s: %s\n", what, std::strerror(errno));
    return 3;
}

void raise_descriptor_limit() {
    const rlimit limit{20000, 20000};
    setrlimit(RLIMIT_NOFILE, &limit);
}

bool write_all(int fd, const uint8_t* data, size_t size) {
    while (size > 0) {
        const ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        data += n;
        size -= n;
    }
    return true;
}

bool read_all(int fd, uint8_t* data, size_t size) {
    while (size > 0) {
        const ssize_t n = recv(fd, data, size, 0);
        if (n == 0) {
            errno = ENODATA;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        size -= n;
    }
    return true;
}

void echo(int fd) {
    std::array<uint8_t, kBlock> block;
    const ssize_t got = recv(fd, block.data(), block.size(), 0);
    if (got <= 0 || !write_all(fd, block.data(), got)) {
        close(fd);
    }
}

int serve(uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(listener, 1024) != 0) {
        return fail("listen");
    }
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    auto watch = [epoll](int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    };
    watch(listener);
    std::puts("listening");
    std::fflush(stdout);
    std::array<epoll_event, 64> events;
    for (;;) {
        const int n = epoll_wait(epoll, events.data(), events.size(), -1);
        for (int i = 0; i < n; ++i) {
            if (events[i].data.fd != listener) {
                echo(events[i].data.fd);
            } else if (const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); fd >= 0) {
                watch(fd);
            }
        }
    }
}

// `bytes` there and back, in blocks made from the seed.
int check(int fd, unsigned seed, size_t bytes) {
    std::minstd_rand random(seed);
    std::array<uint8_t, kBlock> sent;
    std::array<uint8_t, kBlock> back;
    for (size_t done = 0; done < bytes;) {
        const size_t size = std::min(bytes - done, kBlock);
        std::generate_n(sent.begin(), size, [&] { return static_cast<uint8_t>(random()); });
        if (!write_all(fd, sent.data(), size) || !read_all(fd, back.data(), size)) {
            return fail("an echo");
        }
        if (!std::equal(sent.begin(), sent.begin() + size, back.begin())) {
            std::fprintf(stderr, "many: connection %u: a byte came back wrong\n", seed);
            return 1;
        }
        done += size;
    }
    return 0;
}

int connect_to(const sockaddr_in& address) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
        return fd;
    }
    return -1;
}

void report(unsigned connections, size_t bytes) {
    std::printf("{\"connections\": %u, \"bytes\": %zu}\n", connections, bytes);
    std::fflush(stdout);
}

int each(const sockaddr_in& address, unsigned count, size_t bytes) {
    for (unsigned i = 0; i < count; ++i) {
        const int fd = connect_to(address);
        if (fd < 0) {
            return fail("connect");
        }
        if (const int code = check(fd, i + 1, bytes); code != 0) {
            return code;
        }
        close(fd);
    }
    report(count, count * bytes);
    return 0;
}

int run(const sockaddr_in& address, unsigned count, size_t bytes) {
    std::vector<int> open;
    for (unsigned i = 0; i < count; ++i) {
        const int fd = connect_to(address);
        if (fd < 0) {
            return fail("connect");
        }
        open.push_back(fd);
    }
    std::puts("connected");
    std::fflush(stdout);
    sigset_t again;
    sigemptyset(&again);
    sigaddset(&again, SIGUSR1);
    sigprocmask(SIG_BLOCK, &again, nullptr);
    for (unsigned turn = 0;; ++turn) {
        for (unsigned i = 0; i < count; ++i) {
            if (const int code = check(open[i], turn * count + i + 1, bytes); code != 0) {
                return code;
            }
        }
        if (turn == 0) {
            continue;
        }
        if (turn == 1) {
            report(count, size_t{2} * count * bytes);
        } else {
            std::puts("again");
            std::fflush(stdout);
        }
        int number = 0;
        sigwait(&again, &number);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    raise_descriptor_limit();
    if (mode == "serve" && argc == 3) {
        return serve(std::atoi(argv[2]));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if ((mode == "run" || mode == "each") && argc == 6 &&
        inet_pton(AF_INET, argv[2], &address.sin_addr) == 1) {
        address.sin_port = htons(std::atoi(argv[3]));
        return (mode == "run" ? run : each)(address, std::atoi(argv[4]), std::atoi(argv[5]));
    }
    std::fprintf(stderr, "usage: many serve PORT | many run|each ADDRESS PORT COUNT BYTES\n");
    return 2;
}
