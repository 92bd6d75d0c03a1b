// SPDX-License-Identifier: Apache-2.0
// stress: many TCP connections that write and read in every way there is, each of which has to get
// on all the time. Knows nothing of SMC, unless it is told to ask for AF_SMC itself (--smc).
//
//   stress serve [--smc] PORT                    until killed; echoes, in four ways
//   stress run [--smc] ADDRESS PORT CONNECTIONS SECONDS [LIMIT_MS]
//
// Every connection takes, message by message, a random size (1 byte to 256 KiB), a random way to
// wait (blocking, select, epoll level, epoll edge; reader and writer each) and its own socket
// buffers (16 KiB to 1 MiB). The echo is compared. A connection that moves no byte for LIMIT_MS
// (2000) while it wants to has lost a wakeup, or might as well: its state is printed and the exit
// code is 1.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr size_t kLargest = 256 << 10;
constexpr int kFamilySmc = 43;  // AF_SMC

int family = AF_INET;
enum class Way { kBlocking, kSelect, kEpollLevel, kEpollEdge };
constexpr const char* kWayNames[] = {"blocking", "select", "epoll", "epoll-edge"};

int64_t now_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// What a stuck connection was doing; read by the watching thread.
struct Progress {
    std::atomic<int64_t> moved_at{0};
    std::atomic<uint64_t> bytes{0};
    std::atomic<int> way{0};
    std::atomic<int> writers_way{0};
    std::atomic<bool> writing{false};
    std::atomic<bool> done{false};
};

// Waits until `fd` may be readable or writable. Edge-triggered epoll is armed once per call: the
// kernel reports the state at that moment as the first edge, so nothing is missed.
void wait_for(int fd, bool to_write, Way way) {
    if (way == Way::kSelect) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fd, &set);
        select(fd + 1, to_write ? nullptr : &set, to_write ? &set : nullptr, nullptr, nullptr);
        return;
    }
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = to_write ? EPOLLOUT : EPOLLIN;
    if (way == Way::kEpollEdge) {
        event.events |= EPOLLET;
    }
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    epoll_wait(epoll, &event, 1, -1);
    close(epoll);
}

// Moves all of `size` bytes in the given way. False: the connection ended (errno, or 0 for EOF).
bool move_all(int fd, uint8_t* data, size_t size, bool to_write, Way way, Progress* progress) {
    // Per call: the other direction has a way of its own.
    const int flags = MSG_NOSIGNAL | (way == Way::kBlocking ? 0 : MSG_DONTWAIT);
    while (size > 0) {
        errno = 0;
        const ssize_t moved = to_write ? send(fd, data, size, flags) : recv(fd, data, size, flags);
        if (moved > 0) {
            data += moved;
            size -= moved;
            if (progress) {
                progress->moved_at = now_ms();
                progress->bytes += moved;
            }
        } else if (moved < 0 && errno == EAGAIN && way != Way::kBlocking) {
            wait_for(fd, to_write, way);
        } else if (!(moved < 0 && errno == EINTR)) {
            return false;
        }
    }
    return true;
}

void set_buffers(int fd, std::mt19937& random) {
    const int size = (16 << 10) << random() % 7;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

void echo(int fd, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<uint8_t> data(kLargest);
    uint32_t size = 0;
    for (;;) {
        const auto way = static_cast<Way>(random() % 4);
        auto* header = reinterpret_cast<uint8_t*>(&size);
        const char* doing = "waiting for a message";
        bool right = move_all(fd, header, sizeof(size), false, way, nullptr);
        if (right && size > kLargest) {
            doing = "a length that nobody sent";
            right = false;
        }
        if (right) {
            doing = "reading a message";
            right = move_all(fd, data.data(), size, false, way, nullptr);
        }
        if (right) {
            doing = "echoing a message";
            right = move_all(fd, data.data(), size, true, way, nullptr);
        }
        if (!right) {
            std::fprintf(stderr, "echo %u: %s (length %u): %s\n", seed, doing, size,
                         errno ? std::strerror(errno) : "end of stream");
            break;
        }
    }
    close(fd);
}

int serve(uint16_t port) {
    const int listener = socket(family, SOCK_STREAM, 0);
    const int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ||
        listen(listener, 512)) {
        perror("stress: listen");
        return 3;
    }
    std::puts("listening");
    std::fflush(stdout);
    for (unsigned seed = 1;; seed++) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
            std::thread(echo, fd, seed).detach();
        }
    }
}

// One connection until `end_ms`. Returns false, having said why, when it broke or a byte was wrong.
bool talk(sockaddr_in address, unsigned seed, int64_t end_ms, Progress* progress) {
    std::mt19937 random(seed);
    std::vector<uint8_t> sent(kLargest), received(kLargest);
    std::generate(sent.begin(), sent.end(), [&] { return static_cast<uint8_t>(random()); });
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_buffers(fd, random);
    progress->moved_at = now_ms();
    bool right = !connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    if (!right) {
        std::fprintf(stderr, "connection %u: connect: %s\n", seed, std::strerror(errno));
    }
    while (right && now_ms() < end_ms) {
        // mostly small ones, some large
        uint32_t size = 1 + random() % (random() % 4 ? 2000 : kLargest);
        const auto way = static_cast<Way>(random() % 4);
        const auto writers_way = static_cast<Way>(random() % 4);
        progress->way = static_cast<int>(way);
        progress->writers_way = static_cast<int>(writers_way);
        auto* header = reinterpret_cast<uint8_t*>(&size);
        // Writer and reader at once, or two full directions would wait for each other.
        progress->writing = true;
        bool wrote = false;
        std::thread writer([&] {
            wrote = move_all(fd, header, sizeof(size), true, writers_way, progress) &&
                    move_all(fd, sent.data(), size, true, writers_way, progress);
            progress->writing = false;
        });
        const bool read = move_all(fd, received.data(), size, false, way, progress);
        writer.join();
        right = wrote && read;
        if (!right) {
            std::fprintf(stderr, "connection %u ended after %llu bytes, %s of %u bytes %s: %s\n",
                         seed, static_cast<unsigned long long>(progress->bytes.load()),
                         wrote ? "reading" : "writing", size,
                         kWayNames[static_cast<int>(wrote ? way : writers_way)],
                         std::strerror(errno));
        } else if (std::memcmp(sent.data(), received.data(), size) != 0) {
            std::fprintf(stderr, "connection %u: a byte came back wrong\n", seed);
            right = false;
        }
    }
    close(fd);
    progress->done = true;
    return right;
}

int run(const char* host, uint16_t port, unsigned connections, int seconds, int limit_ms) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        std::fprintf(stderr, "stress: %s is no IPv4 address\n", host);
        return 2;
    }
    const int64_t end_ms = now_ms() + seconds * 1000;
    std::vector<std::unique_ptr<Progress>> progress;
    std::vector<std::thread> threads;
    std::atomic<unsigned> wrong{0};
    for (unsigned i = 0; i < connections; i++) {
        progress.push_back(std::make_unique<Progress>());
        progress[i]->moved_at = now_ms();
    }
    for (unsigned i = 0; i < connections; i++) {
        threads.emplace_back([&, i] { wrong += !talk(address, i + 1, end_ms, progress[i].get()); });
    }

    unsigned stuck = 0;
    for (bool working = true; working && !stuck;) {
        usleep(50000);
        working = false;
        for (unsigned i = 0; i < connections; i++) {
            Progress& p = *progress[i];
            if (p.done) {
                continue;
            }
            working = true;
            const int64_t idle = now_ms() - p.moved_at;
            if (idle > limit_ms) {
                std::fprintf(stderr,
                             "connection %u is stuck: nothing moved for %lld ms, reader %s, "
                             "writer %s, after %llu bytes\n",
                             i + 1, static_cast<long long>(idle), kWayNames[p.way.load()],
                             p.writing ? kWayNames[p.writers_way.load()] : "done",
                             static_cast<unsigned long long>(p.bytes.load()));
                stuck++;
            }
        }
    }
    uint64_t bytes = 0;
    for (const auto& p : progress) {
        bytes += p->bytes;
    }
    std::printf("{\"connections\": %u, \"bytes\": %llu, \"stuck\": %u, \"wrong\": %u}\n",
                connections, static_cast<unsigned long long>(bytes), stuck, wrong.load());
    std::fflush(stdout);
    if (stuck) {
        _exit(1);  // the stuck threads will not end
    }
    for (auto& thread : threads) {
        thread.join();
    }
    return wrong ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (argc > 2 && std::string_view(argv[2]) == "--smc") {
        family = kFamilySmc;
        argc--;
        argv++;
    }
    signal(SIGPIPE, SIG_IGN);
    if (mode == "serve" && argc == 3) {
        return serve(std::atoi(argv[2]));
    }
    if (mode == "run" && (argc == 6 || argc == 7)) {
        return run(argv[2], std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]),
                   argc == 7 ? std::atoi(argv[6]) : 2000);
    }
    std::fprintf(stderr,
                 "usage: stress serve [--smc] PORT | stress run [--smc] ADDRESS PORT CONNECTIONS "
                 "SECONDS [LIMIT_MS]\n");
    return 2;
}
