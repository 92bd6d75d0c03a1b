// SPDX-License-Identifier: Apache-2.0
// io_uring for one request at a time, of one thread, without a library.
#ifndef SMC_STEER_TESTS_VM_PROGRAMS_ONE_URING_H
#define SMC_STEER_TESTS_VM_PROGRAMS_ONE_URING_H

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

class OneUring {
public:
    OneUring() {
        io_uring_params params{};
        fd_ = static_cast<int>(syscall(SYS_io_uring_setup, 1, &params));
        if (fd_ < 0 || !(params.features & IORING_FEAT_SINGLE_MMAP)) {
            std::perror("io_uring");
            std::exit(3);
        }
        size_t rings = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
        const size_t submit = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
        rings = rings > submit ? rings : submit;
        char* ring = map(rings, IORING_OFF_SQ_RING);
        entry_ = reinterpret_cast<io_uring_sqe*>(map(sizeof(io_uring_sqe), IORING_OFF_SQES));
        submit_tail_ = reinterpret_cast<uint32_t*>(ring + params.sq_off.tail);
        *reinterpret_cast<uint32_t*>(ring + params.sq_off.array) = 0;
        done_head_ = reinterpret_cast<uint32_t*>(ring + params.cq_off.head);
        done_mask_ = *reinterpret_cast<uint32_t*>(ring + params.cq_off.ring_mask);
        done_ = reinterpret_cast<io_uring_cqe*>(ring + params.cq_off.cqes);
    }
    ~OneUring() { close(fd_); }
    OneUring(const OneUring&) = delete;
    OneUring& operator=(const OneUring&) = delete;

    // As send() and recv(), waiting.
    ssize_t send(int fd, const void* data, size_t size) {
        return ask(IORING_OP_SEND, fd, reinterpret_cast<uint64_t>(data), size, MSG_NOSIGNAL);
    }
    ssize_t receive(int fd, void* data, size_t size) {
        return ask(IORING_OP_RECV, fd, reinterpret_cast<uint64_t>(data), size, 0);
    }

private:
    char* map(size_t size, off_t what) const {
        void* memory =
            mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, what);
        if (memory == MAP_FAILED) {
            std::perror("io_uring: mmap");
            std::exit(3);
        }
        return static_cast<char*>(memory);
    }
    ssize_t ask(uint8_t what, int fd, uint64_t data, size_t size, uint32_t flags) {
        *entry_ = {};
        entry_->opcode = what;
        entry_->fd = fd;
        entry_->addr = data;
        entry_->len = static_cast<uint32_t>(size);
        entry_->msg_flags = flags;
        std::atomic_ref(*submit_tail_).fetch_add(1, std::memory_order_release);
        long entered = 0;
        unsigned count = 1;
        do {
            entered =
                syscall(SYS_io_uring_enter, fd_, count, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
            count = entered > 0 ? 0 : count;
        } while (entered < 0 && errno == EINTR);
        if (entered < 0) {
            return -1;
        }
        const uint32_t head = *done_head_;
        const int result = done_[head & done_mask_].res;
        std::atomic_ref(*done_head_).store(head + 1, std::memory_order_release);
        if (result < 0) {
            errno = -result;
            return -1;
        }
        return result;
    }

    int fd_ = -1;
    io_uring_sqe* entry_ = nullptr;
    uint32_t* submit_tail_ = nullptr;
    uint32_t* done_head_ = nullptr;
    uint32_t done_mask_ = 0;
    io_uring_cqe* done_ = nullptr;
};

#endif  // SMC_STEER_TESTS_VM_PROGRAMS_ONE_URING_H
