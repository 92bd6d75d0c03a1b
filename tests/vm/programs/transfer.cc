// SPDX-License-Identifier: Apache-2.0
// transfer: TCP connections whose every byte is checked at both ends. Knows nothing of SMC, unless
// it is told to ask for AF_SMC itself (--smc), for guests in which nobody steers.
//
//   transfer serve [--mptcp|--smc] [--splice] ADDRESS PORT
//                                                until killed; a process per connection; --splice:
//                                                what comes is read through a pipe
//   transfer send [--mptcp|--smc] [--pause MS] ADDRESS PORT BYTES
//                                                BYTES there and BYTES back, with a pause after
//                                                each 128 KiB
//   transfer repeat [--smc] ADDRESS PORT BYTES SECONDS
//                                                connections as of send, one after the other, for
//                                                so long
//   transfer times [--smc] ADDRESS PORT BYTES COUNT
//                                                the same, so many of them
//   transfer hold [--smc] ADDRESS PORT COUNT     COUNT connections, then waits for the first end
//
// A connection starts with two 64-bit words of the client: seed and number of bytes. The client
// sends that many bytes made from the seed, the server answers with their checksum and with as
// many bytes made from seed + 1. With 0 bytes nobody sends more and both wait.
//
// send, repeat, times and hold print one JSON object. Exit codes: 0 all bytes right, 1 a wrong
// byte, 2 wrong command line, 3 the connection failed (its "errno" says how).
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace {

// C libraries of 2023 do not all know these.
constexpr int kMptcp = 262;     // IPPROTO_MPTCP
constexpr int kFamilySmc = 43;  // AF_SMC: its protocols are 0 for IPv4 and 1 for IPv6
constexpr size_t kBlock = 128 << 10;
constexpr int64_t kForever = 1 << 30;  // seconds

struct Hello {
    uint64_t seed;
    uint64_t bytes;
};

// xorshift64*: eight bytes a step.
class Stream {
public:
    explicit Stream(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL | 1) {}

    // `size` is a multiple of 8, except in a stream's last block.
    void fill(uint8_t* data, size_t size) {
        for (size_t at = 0; at < size; at += 8) {
            state_ ^= state_ >> 12;
            state_ ^= state_ << 25;
            state_ ^= state_ >> 27;
            const uint64_t word = state_ * 0x2545f4914f6cdd1dULL;
            std::memcpy(data + at, &word, std::min<size_t>(8, size - at));
        }
    }

private:
    uint64_t state_;
};

uint64_t fnv1a(uint64_t hash, const uint8_t* data, size_t size) {
    for (size_t at = 0; at < size; ++at) hash = (hash ^ data[at]) * 0x100000001b3ULL;
    return hash;
}

constexpr uint64_t kHashStart = 0xcbf29ce484222325ULL;

bool write_all(int fd, const void* data, size_t size) {
    auto* at = static_cast<const uint8_t*>(data);
    while (size > 0) {
        const ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n < 0) return false;
        at += n;
        size -= n;
    }
    return true;
}

bool by_splice = false;

// At most a pipe's worth; what went into the pipe comes out of it whole.
ssize_t read_by_splice(int fd, uint8_t* at, size_t size) {
    static int ends[2] = {-1, -1};
    if (ends[0] < 0 && pipe(ends) < 0) return -1;
    const ssize_t n = splice(fd, nullptr, ends[1], nullptr, std::min<size_t>(size, 60000), 0);
    for (ssize_t done = 0; done < n;) {
        const ssize_t m = read(ends[0], at + done, n - done);
        if (m <= 0) return -1;
        done += m;
    }
    return n;
}

bool read_all(int fd, void* data, size_t size) {
    auto* at = static_cast<uint8_t*>(data);
    while (size > 0) {
        const ssize_t n = by_splice ? read_by_splice(fd, at, size) : read(fd, at, size);
        if (n == 0) errno = ENODATA;  // the other end closed too early
        if (n <= 0) return false;
        at += n;
        size -= n;
    }
    return true;
}

int pause_ms = 0;  // after each block

bool send_stream(int fd, uint64_t seed, uint64_t bytes, uint64_t* checksum) {
    Stream stream(seed);
    std::vector<uint8_t> block(kBlock);
    for (uint64_t left = bytes; left > 0;) {
        const size_t size = std::min<uint64_t>(left, kBlock);
        stream.fill(block.data(), size);
        *checksum = fnv1a(*checksum, block.data(), size);
        if (!write_all(fd, block.data(), size)) return false;
        usleep(1000 * pause_ms);
        left -= size;
    }
    return true;
}

// Compares with what the seed makes, so that the first wrong byte is known.
bool receive_stream(int fd, uint64_t seed, uint64_t bytes, uint64_t* checksum, int64_t* wrong_at) {
    Stream stream(seed);
    std::vector<uint8_t> got(kBlock);
    std::vector<uint8_t> wanted(kBlock);
    for (uint64_t done = 0; done < bytes;) {
        const size_t size = std::min<uint64_t>(bytes - done, kBlock);
        if (!read_all(fd, got.data(), size)) return false;
        stream.fill(wanted.data(), size);
        *checksum = fnv1a(*checksum, got.data(), size);
        const auto differ = std::mismatch(got.begin(), got.begin() + size, wanted.begin());
        if (*wrong_at < 0 && differ.first != got.begin() + size)
            *wrong_at = static_cast<int64_t>(done + (differ.first - got.begin()));
        usleep(1000 * pause_ms);
        done += size;
    }
    return true;
}

void wait_for_end(int fd) {
    char byte;
    const ssize_t n = read(fd, &byte, 1);
    if (n >= 0) errno = 0;
}

int serve_one(int fd) {
    Hello hello;
    if (!read_all(fd, &hello, sizeof(hello))) return 3;
    if (hello.bytes == 0) {
        wait_for_end(fd);
        return 0;
    }
    uint64_t checksum = kHashStart;
    int64_t wrong_at = -1;
    if (!receive_stream(fd, hello.seed, hello.bytes, &checksum, &wrong_at)) return 3;
    if (!write_all(fd, &checksum, sizeof(checksum))) return 3;
    uint64_t own = kHashStart;
    if (!send_stream(fd, hello.seed + 1, hello.bytes, &own)) return 3;
    shutdown(fd, SHUT_WR);
    wait_for_end(fd);
    return wrong_at < 0 ? 0 : 1;
}

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

bool parse_address(const char* text, const char* port, Address* address) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address->storage);
    auto* in4 = reinterpret_cast<sockaddr_in*>(&address->storage);
    const uint16_t number = htons(static_cast<uint16_t>(std::atoi(port)));
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = number;
        address->size = sizeof(*in6);
        return true;
    }
    in4->sin_family = AF_INET;
    in4->sin_port = number;
    address->size = sizeof(*in4);
    return inet_pton(AF_INET, text, &in4->sin_addr) == 1;
}

enum class Kind { kTcp, kMptcp, kSmc };
Kind kind = Kind::kTcp;

int open_socket(int family) {
    if (kind == Kind::kSmc) return socket(kFamilySmc, SOCK_STREAM, family == AF_INET6 ? 1 : 0);
    return socket(family, SOCK_STREAM, kind == Kind::kMptcp ? kMptcp : 0);
}

int serve(const Address& address) {
    const int listener = open_socket(address.storage.ss_family);
    const int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (listener < 0 ||
        bind(listener, reinterpret_cast<const sockaddr*>(&address.storage), address.size) < 0 ||
        listen(listener, 64) < 0) {
        std::perror("transfer: listen");
        return 3;
    }
    std::printf("listening\n");
    std::fflush(stdout);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        const int fd = accept(listener, nullptr, nullptr);
        if (fd < 0) continue;
        if (fork() == 0) {
            close(listener);
            _exit(serve_one(fd));
        }
        close(fd);
    }
}

int64_t milliseconds() {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int socket_protocol(int fd) {
    int value = -1;
    socklen_t size = sizeof(value);
    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &size);
    return value;
}

int report(int fd, uint64_t bytes, int64_t wrong_at, int code, int error) {
    std::printf("{\"protocol\": %d, \"bytes\": %" PRIu64 ", \"wrong_at\": %" PRId64
                ", \"errno\": %d, \"ended_ms\": %" PRId64 "}\n",
                socket_protocol(fd), bytes, wrong_at, error, milliseconds());
    return code;
}

int connect_to(const Address& address) {
    const int fd = open_socket(address.storage.ss_family);
    if (fd >= 0 &&
        connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0)
        return fd;
    const int error = errno;
    report(fd, 0, -1, 3, error);
    return -1;
}

// The exit code; `errno` is set where it is 3.
int exchange(int fd, uint64_t bytes, int64_t* wrong_at) {
    const Hello hello{static_cast<uint64_t>(getpid()) * 7919, bytes};
    uint64_t sent = kHashStart;
    uint64_t seen = 0;
    uint64_t received = kHashStart;
    if (!write_all(fd, &hello, sizeof(hello)) || !send_stream(fd, hello.seed, bytes, &sent) ||
        !read_all(fd, &seen, sizeof(seen)) ||
        !receive_stream(fd, hello.seed + 1, bytes, &received, wrong_at))
        return 3;
    return sent == seen && *wrong_at < 0 ? 0 : 1;
}

int send_and_check(int fd, uint64_t bytes) {
    int64_t wrong_at = -1;
    const int code = exchange(fd, bytes, &wrong_at);
    return report(fd, bytes, wrong_at, code, code == 3 ? errno : 0);
}

int repeat(const Address& address, uint64_t bytes, int64_t seconds, long most) {
    const int64_t began = milliseconds();
    int64_t wrong_at = -1;
    long count = 0;
    for (; count < most && milliseconds() - began < seconds * 1000; ++count) {
        const int fd = connect_to(address);
        if (fd < 0) return 3;
        if (const int code = exchange(fd, bytes, &wrong_at))
            return report(fd, bytes, wrong_at, code, code == 3 ? errno : 0);
        close(fd);
    }
    std::printf("{\"connections\": %ld, \"us_each\": %.1f}\n", count,
                1000.0 * static_cast<double>(milliseconds() - began) / static_cast<double>(count));
    return 0;
}

int hold(const Address& address, int count) {
    const Hello hello{1, 0};
    std::vector<pollfd> held;
    for (int i = 0; i < count; ++i) {
        const int fd = connect_to(address);
        if (fd < 0) return 3;
        if (!write_all(fd, &hello, sizeof(hello))) return report(fd, 0, -1, 3, errno);
        held.push_back({fd, POLLIN, 0});
    }
    std::printf("connected\n");
    std::fflush(stdout);
    poll(held.data(), held.size(), -1);
    for (const pollfd& each : held) {
        if (!each.revents) continue;
        wait_for_end(each.fd);
        return report(each.fd, 0, -1, errno ? 3 : 0, errno);
    }
    return 3;
}

int usage() {
    std::fprintf(
        stderr,
        "usage: transfer serve|send|repeat|times|hold [--mptcp|--smc] [--splice] [--pause MS] "
        "ADDRESS PORT [BYTES|COUNT [SECONDS]]\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return usage();
    const std::string_view mode = argv[1];
    int at = 2;
    const std::string_view flag = at < argc ? argv[at] : "";
    if (flag == "--mptcp" || flag == "--smc") {
        kind = flag == "--smc" ? Kind::kSmc : Kind::kMptcp;
        ++at;
    }
    if (at < argc && std::string_view(argv[at]) == "--splice") {
        by_splice = true;
        ++at;
    }
    if (at + 1 < argc && std::string_view(argv[at]) == "--pause") {
        pause_ms = std::atoi(argv[at + 1]);
        at += 2;
    }
    Address address;
    const bool serving = mode == "serve";
    const bool many = mode == "repeat" || mode == "times";
    const int words = serving ? 2 : many ? 4 : 3;
    if (argc - at != words || !parse_address(argv[at], argv[at + 1], &address)) return usage();
    if (serving) return serve(address);
    if (mode == "hold") return hold(address, std::atoi(argv[at + 2]));
    if (many) {
        const long limit = std::atol(argv[at + 3]);
        const bool timed = mode == "repeat";
        return repeat(address, std::strtoull(argv[at + 2], nullptr, 10), timed ? limit : kForever,
                      timed ? LONG_MAX : limit);
    }
    if (mode != "send") return usage();
    const int fd = connect_to(address);
    return fd < 0 ? 3 : send_and_check(fd, std::strtoull(argv[at + 2], nullptr, 10));
}
