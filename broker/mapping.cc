// SPDX-License-Identifier: Apache-2.0
#include "broker/mapping.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <utility>

namespace smc_steer::broker {

Result<Mapping> Mapping::memfd(const char* name, uint64_t size, unsigned flags) {
    UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
    if (!fd) {
        return fail_errno("memfd_create");
    }
    if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
        return fail_errno(errno, "cannot give {} {} bytes", name, size);
    }
    if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return fail_errno(errno, "cannot seal {}", name);
    }
    return of(std::move(fd), size);
}

Result<Mapping> Mapping::of(UniqueFd fd, uint64_t size) {
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) {
        return fail_errno("fstat");
    }
    if (static_cast<uint64_t>(st.st_size) < size) {
        return fail("it has {} bytes instead of {}", st.st_size, size);
    }
    void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) {
        return fail_errno(errno, "cannot map {} bytes", size);
    }
    Mapping mapping;
    mapping.fd_ = std::move(fd);
    mapping.base_ = static_cast<std::byte*>(base);
    mapping.size_ = size;
    return mapping;
}

Result<Mapping> Mapping::file(const std::string& path, uint64_t size, bool lock, bool& fresh) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    struct stat st {};
    if (!fd || fstat(fd.get(), &st) != 0) {
        return fail_errno(errno, "{}", path);
    }
    if (lock && flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail("{}: another broker serves it", path);
    }
    fresh = st.st_size == 0;
    if (fresh && ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
        return fail_errno(errno, "{}: cannot give it {} bytes", path, size);
    }
    return of(std::move(fd), size).map_error([&](Error error) {
        return with_context(std::move(error), path);
    });
}

Mapping::Mapping(Mapping&& other) noexcept
    : fd_(std::move(other.fd_)),
      base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Mapping::~Mapping() {
    if (base_ != nullptr) {
        munmap(base_, size_);
    }
}

}  // namespace smc_steer::broker
