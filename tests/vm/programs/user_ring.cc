// SPDX-License-Identifier: Apache-2.0
// user_ring: what a stream over shared memory can reach where no kernel has a part in it: two
// programs, one in each guest, copy into a ring of the region and out of it, and look for each
// other's position all the time.
//
//   user_ring serve RESOURCE2 OFFSET SIZE                  prints "listening", ends with the sender
//   user_ring send  RESOURCE2 OFFSET SIZE WRITE SECONDS    prints {"MBps": ...}, of what was read
//
// RESOURCE2 is the device's memory in sysfs, OFFSET a place in it that nobody uses: a page of
// positions, and SIZE bytes behind it. WRITE is how many bytes are copied at a time.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kPrivate = 1 << 20;  // bytes that either side copies from and to

struct alignas(64) Position {
    std::atomic<uint64_t> value;
};

struct Positions {
    Position produced, consumed, ended;
};

class Ring {
public:
    Ring(const char* path, uint64_t offset, uint64_t size) : size_(size) {
        const int fd = open(path, O_RDWR | O_CLOEXEC);
        void* at = fd < 0 ? MAP_FAILED
                          : mmap(nullptr, kPage + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                                 static_cast<off_t>(offset));
        if (at == MAP_FAILED) {
            perror(path);
            exit(1);
        }
        positions_ = static_cast<Positions*>(at);
        data_ = static_cast<uint8_t*>(at) + kPage;
    }

    Positions& positions() { return *positions_; }

    // Calls copy(place in the ring, place in the private memory, bytes) for `count` bytes at
    // `position`.
    template <typename Copy>
    void each_piece(uint64_t position, uint64_t count, Copy copy) {
        while (count > 0) {
            const uint64_t at = position % size_;
            const uint64_t mine = position % kPrivate;
            const uint64_t n = std::min({count, size_ - at, kPrivate - mine});
            copy(data_ + at, private_.data() + mine, n);
            position += n;
            count -= n;
        }
    }

private:
    uint64_t size_;
    Positions* positions_;
    uint8_t* data_;
    std::vector<uint8_t> private_ = std::vector<uint8_t>(kPrivate, 0x5a);
};

void serve(Ring* ring) {
    constexpr uint64_t kAtATime = 64 << 10;
    Positions& at = ring->positions();
    at.produced.value = at.consumed.value = at.ended.value = 0;
    puts("listening");
    fflush(stdout);
    for (uint64_t pos = 0;;) {
        const bool ended = at.ended.value.load(std::memory_order_acquire) != 0;
        const uint64_t produced = at.produced.value.load(std::memory_order_acquire);
        if (produced == pos && ended) {
            return;
        }
        if (produced == pos) {
            continue;
        }
        const uint64_t n = std::min(produced - pos, kAtATime);
        ring->each_piece(pos, n, [](uint8_t* shared, uint8_t* mine, uint64_t bytes) {
            memcpy(mine, shared, bytes);
        });
        pos += n;
        at.consumed.value.store(pos, std::memory_order_release);
    }
}

void send(Ring* ring, uint64_t size, uint64_t write, int64_t seconds) {
    using Clock = std::chrono::steady_clock;
    Positions& at = ring->positions();
    const auto began = Clock::now();
    const auto end = began + std::chrono::seconds(seconds);
    uint64_t pos = 0;
    while (Clock::now() < end) {
        while (pos + write - at.consumed.value.load(std::memory_order_acquire) > size) {
        }
        ring->each_piece(pos, write, [](uint8_t* shared, uint8_t* mine, uint64_t bytes) {
            memcpy(shared, mine, bytes);
        });
        pos += write;
        at.produced.value.store(pos, std::memory_order_release);
    }
    while (at.consumed.value.load(std::memory_order_acquire) != pos) {
    }
    const std::chrono::duration<double> took = Clock::now() - began;
    at.ended.value.store(1, std::memory_order_release);
    printf("{\"MBps\": %.3f}\n", static_cast<double>(pos) / took.count() / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view word = argc > 1 ? argv[1] : "";
    const auto number = [&](int n) { return strtoull(argv[n], nullptr, 10); };
    if (word == "serve" && argc == 5) {
        Ring ring(argv[2], number(3), number(4));
        serve(&ring);
        return 0;
    }
    if (word == "send" && argc == 7 && number(5) <= number(4)) {
        Ring ring(argv[2], number(3), number(4));
        send(&ring, number(4), number(5), static_cast<int64_t>(number(6)));
        return 0;
    }
    fputs("user_ring serve RESOURCE2 OFFSET SIZE | send RESOURCE2 OFFSET SIZE WRITE SECONDS\n",
          stderr);
    return 2;
}
