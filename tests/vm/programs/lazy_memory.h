// SPDX-License-Identifier: Apache-2.0
// Memory whose pages come some milliseconds after they are asked for (userfaultfd), as those of a
// busy machine do that swaps: whoever copies to or from it sleeps there.
#ifndef SMC_STEER_TESTS_VM_PROGRAMS_LAZY_MEMORY_H
#define SMC_STEER_TESTS_VM_PROGRAMS_LAZY_MEMORY_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

class LazyMemory {
public:
    explicit LazyMemory(size_t size)
        : size_((size + kPage - 1) / kPage * kPage),
          source_(size_),
          fd_(open_fd()),
          memory_(map(size_)) {
        uffdio_api api{};
        api.api = UFFD_API;
        uffdio_register region{};
        region.range = {reinterpret_cast<uint64_t>(memory_), size_};
        region.mode = UFFDIO_REGISTER_MODE_MISSING;
        if (ioctl(fd_, UFFDIO_API, &api) < 0 || ioctl(fd_, UFFDIO_REGISTER, &region) < 0) {
            die("userfaultfd: register");
        }
        server_ = std::thread([this] { serve(); });
    }
    ~LazyMemory() {
        over_ = true;
        server_.join();
        munmap(memory_, size_);
        close(fd_);
    }
    LazyMemory(const LazyMemory&) = delete;
    LazyMemory& operator=(const LazyMemory&) = delete;

    // None of its pages is there; what comes has `data` (nullptr: zeros). Nobody uses it meanwhile.
    uint8_t* of(const uint8_t* data, size_t size) {
        if (data) {
            std::memcpy(source_.data(), data, size);
        } else {
            std::fill(source_.begin(), source_.end(), 0);
        }
        madvise(memory_, size_, MADV_DONTNEED);
        return memory_;
    }

private:
    static constexpr size_t kPage = 4096;
    static constexpr unsigned kLateUs = 2000;

    [[noreturn]] static void die(const char* what) {
        std::perror(what);
        std::exit(3);
    }
    static int open_fd() {
        const auto fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
        return fd < 0 ? (die("userfaultfd"), fd) : fd;
    }
    static uint8_t* map(size_t size) {
        void* memory =
            mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? (die("mmap"), nullptr) : static_cast<uint8_t*>(memory);
    }
    void serve() {
        while (!over_) {
            pollfd wait{fd_, POLLIN, 0};
            uffd_msg message{};
            if (poll(&wait, 1, 50) <= 0 ||
                read(fd_, &message, sizeof(message)) != sizeof(message) ||
                message.event != UFFD_EVENT_PAGEFAULT) {
                continue;
            }
            const uint64_t page = message.arg.pagefault.address / kPage * kPage;
            usleep(kLateUs);
            uffdio_copy copy{};
            copy.dst = page;
            copy.src = reinterpret_cast<uint64_t>(source_.data() +
                                                  (page - reinterpret_cast<uint64_t>(memory_)));
            copy.len = kPage;
            ioctl(fd_, UFFDIO_COPY, &copy);  // EEXIST: another thread asked for it, too
        }
    }

    size_t size_;
    std::vector<uint8_t> source_;
    int fd_;
    uint8_t* memory_;
    std::atomic<bool> over_{false};
    std::thread server_;
};

#endif  // SMC_STEER_TESTS_VM_PROGRAMS_LAZY_MEMORY_H
