// SPDX-License-Identifier: Apache-2.0
// measure: latency and throughput of one connection, over TCP or, with --smc, over AF_SMC: for
// guests in which nobody steers, since sockperf and iperf3 ask for TCP only. What it prints is one
// JSON object.
//
//   measure serve [--smc] ADDRESS PORT                  until killed; one connection after the
//   other measure pingpong [--smc] ADDRESS PORT SIZE SECONDS  half round trips: p50_us, p99_us,
//   messages measure stream [--smc] ADDRESS PORT SIZE SECONDS    writes of SIZE bytes: MBps, of
//   what arrived
//
// A connection begins with one word of the client: the size to echo, or 0 for a stream, which the
// server reads to its end and answers with the number of its bytes.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

constexpr int kFamilySmc = 43;  // AF_SMC
constexpr size_t kLargest = 1 << 20;

int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

bool write_all(int fd, const void* data, size_t size) {
    const auto* at = static_cast<const uint8_t*>(data);
    while (size > 0) {
        const ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        size -= n;
    }
    return true;
}

bool read_all(int fd, void* data, size_t size) {
    auto* at = static_cast<uint8_t*>(data);
    while (size > 0) {
        const ssize_t n = recv(fd, at, size, 0);
        if (n <= 0) return false;
        at += n;
        size -= n;
    }
    return true;
}

int open_socket(bool smc) {
    const int fd = socket(smc ? kFamilySmc : AF_INET, SOCK_STREAM, 0);
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

void serve_one(int fd) {
    static std::vector<uint8_t> data(kLargest);
    uint64_t size = 0;
    if (!read_all(fd, &size, sizeof(size)) || size > kLargest) return;
    if (size > 0) {
        while (read_all(fd, data.data(), size) && write_all(fd, data.data(), size)) {
        }
        return;
    }
    uint64_t bytes = 0;
    for (ssize_t n; (n = recv(fd, data.data(), data.size(), 0)) > 0;) bytes += n;
    write_all(fd, &bytes, sizeof(bytes));
}

int fail(const char* what) {
    std::perror(what);
    return 3;
}

int serve(int listener, const sockaddr_in& address) {
    if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(listener, 16) != 0)
        return fail("measure: listen");
    std::puts("listening");
    std::fflush(stdout);
    for (;;) {
        const int fd = accept(listener, nullptr, nullptr);
        if (fd < 0) continue;
        serve_one(fd);
        close(fd);
    }
}

int pingpong(int fd, uint64_t size, int seconds) {
    std::vector<uint8_t> data(size, 1);
    std::vector<int64_t> times;
    if (!write_all(fd, &size, sizeof(size))) return fail("measure: send");
    const int64_t end = now_ns() + seconds * 1000000000LL;
    for (int64_t before = now_ns(); before < end;) {
        if (!write_all(fd, data.data(), size) || !read_all(fd, data.data(), size))
            return fail("measure: ping-pong");
        const int64_t after = now_ns();
        times.push_back(after - before);
        before = after;
    }
    std::sort(times.begin(), times.end());
    const auto part = [&](size_t percent) {
        return static_cast<double>(times[(times.size() - 1) * percent / 100]) / 2000;
    };
    std::printf("{\"p50_us\": %.2f, \"p99_us\": %.2f, \"messages\": %zu}\n", part(50), part(99),
                times.size());
    return 0;
}

int stream(int fd, uint64_t size, int seconds) {
    const std::vector<uint8_t> data(size, 1);
    const uint64_t hello = 0;
    uint64_t arrived = 0;
    if (!write_all(fd, &hello, sizeof(hello))) return fail("measure: send");
    const int64_t began = now_ns();
    const int64_t end = began + seconds * 1000000000LL;
    while (now_ns() < end)
        if (!write_all(fd, data.data(), size)) return fail("measure: stream");
    shutdown(fd, SHUT_WR);
    if (!read_all(fd, &arrived, sizeof(arrived))) return fail("measure: the server's count");
    const double ns = static_cast<double>(now_ns() - began);
    std::printf("{\"MBps\": %.2f}\n", 1000 * static_cast<double>(arrived) / ns);
    return 0;
}

int usage() {
    std::fprintf(stderr,
                 "usage: measure serve [--smc] ADDRESS PORT | measure pingpong|stream [--smc] "
                 "ADDRESS PORT SIZE SECONDS\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    const bool smc = argc > 2 && std::string_view(argv[2]) == "--smc";
    char** words = argv + (smc ? 3 : 2);
    const int count = static_cast<int>(argv + argc - words);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (count != (mode == "serve" ? 2 : 4) || inet_pton(AF_INET, words[0], &address.sin_addr) != 1)
        return usage();
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(words[1])));
    signal(SIGPIPE, SIG_IGN);

    const int fd = open_socket(smc);
    if (fd < 0) return fail("measure: socket");
    if (mode == "serve") return serve(fd, address);
    const uint64_t size = std::strtoull(words[2], nullptr, 10);
    if (size == 0 || size > kLargest || (mode != "pingpong" && mode != "stream")) return usage();
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        return fail("measure: connect");
    const int seconds = std::atoi(words[3]);
    return mode == "pingpong" ? pingpong(fd, size, seconds) : stream(fd, size, seconds);
}
