// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "agent/base/unique_fd.h"

namespace smc_steer {
namespace {

constexpr off_t kMost = 4 << 20;

Result<void> write_all(int fd, const std::string& content, const std::string& path) {
    std::size_t done = 0;
    while (done < content.size()) {
        ssize_t n = write(fd, content.data() + done, content.size() - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(errno, "{}: cannot write", path);
        }
        done += static_cast<std::size_t>(n);
    }
    if (fsync(fd) != 0) {
        return fail_errno(errno, "{}: cannot write", path);
    }
    return {};
}

}  // namespace

Result<std::optional<std::string>> read_file(const std::string& path) {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd && errno == ENOENT) {
        return std::nullopt;
    }
    if (!fd) {
        return fail_errno(errno, "{}: cannot open", path);
    }
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) {
        return fail_errno(errno, "{}: cannot stat", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return fail("{}: not a regular file", path);
    }
    if (st.st_size > kMost) {
        return fail("{}: larger than 4 MiB, that is no file of ours", path);
    }

    std::string content(static_cast<std::size_t>(st.st_size) + 1, '\0');
    std::size_t length = 0;
    while (length < content.size()) {
        ssize_t n = read(fd.get(), content.data() + length, content.size() - length);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(errno, "{}: cannot read", path);
        }
        if (n == 0) {
            break;
        }
        length += static_cast<std::size_t>(n);
        // It may have grown, and /proc's say that they are empty.
        if (length == content.size() && length < kMost) {
            content.resize(std::min<std::size_t>(2 * length + 4096, kMost));
        }
    }
    content.resize(length);
    return content;
}

Result<void> replace_file(const std::string& path, const std::string& content) {
    if (content.size() > static_cast<std::size_t>(kMost)) {
        return fail("{}: more than 4 MiB could not be read again", path);
    }
    std::string directory = std::filesystem::path(path).parent_path();
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) {
        return fail_errno(error.value(), "{}: cannot make the directory", directory);
    }

    std::string temporary = path + ".new";
    UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) {
        return fail_errno(errno, "{}: cannot write", temporary);
    }
    auto written = write_all(fd.get(), content, temporary);
    if (written && rename(temporary.c_str(), path.c_str()) != 0) {
        written = fail_errno(errno, "{}: cannot replace", path);
    }
    if (!written) {
        unlink(temporary.c_str());
        return written;
    }
    UniqueFd dir(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir || fsync(dir.get()) != 0) {
        return fail_errno(errno, "{}: cannot sync", directory);
    }
    return {};
}

}  // namespace smc_steer
