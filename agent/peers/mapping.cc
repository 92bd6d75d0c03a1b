// SPDX-License-Identifier: Apache-2.0
#include "agent/peers/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

namespace smc_steer {
namespace {

// Read by the signal handler: plain atomics, no locks. `length` 0 marks a free entry; an
// entry's start is written before its length.
struct Range {
    std::atomic<std::uintptr_t> start{0};
    std::atomic<std::size_t> length{0};
};
std::array<Range, 8> ranges;

bool is_ours(std::uintptr_t address) {
    for (const auto& range : ranges) {
        std::size_t length = range.length.load(std::memory_order_acquire);
        std::uintptr_t start = range.start.load(std::memory_order_relaxed);
        if (length && address >= start && address - start < length) {
            return true;
        }
    }
    return false;
}

void on_sigbus(int /*signal*/, siginfo_t* info, void* /*context*/) {
    auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    int saved = errno;
    void* zeros = MAP_FAILED;
    if (is_ours(address)) {
        zeros = mmap(static_cast<char*>(info->si_addr) - (address & (page - 1)), page,
                     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    // Not ours: the access is tried again, now with the default action.
    if (zeros == MAP_FAILED) {
        std::signal(SIGBUS, SIG_DFL);
    }
    errno = saved;
}

bool enter(void* memory, std::size_t length) {
    struct sigaction action {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, nullptr);
    for (auto& range : ranges) {
        if (range.length.load(std::memory_order_relaxed)) {
            continue;
        }
        range.start.store(reinterpret_cast<std::uintptr_t>(memory), std::memory_order_relaxed);
        range.length.store(length, std::memory_order_release);
        return true;
    }
    return false;
}

void leave(void* memory) {
    for (auto& range : ranges) {
        if (range.start.load(std::memory_order_relaxed) ==
            reinterpret_cast<std::uintptr_t>(memory)) {
            range.length.store(0, std::memory_order_release);
        }
    }
}

}  // namespace

Result<Mapping> Mapping::map(int fd, std::size_t length, bool writable, std::uint64_t offset) {
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void* memory = mmap(nullptr, length, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
    if (memory == MAP_FAILED) {
        return fail_errno(errno, "cannot map");
    }
    Mapping mapping(memory, length);
    if (!enter(memory, length)) {
        return fail("too many device mappings");
    }
    return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), length_(std::exchange(other.length_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(length_, other.length_);
    return *this;
}

Mapping::~Mapping() {
    if (!memory_) {
        return;
    }
    leave(memory_);
    munmap(memory_, length_);
}

}  // namespace smc_steer
