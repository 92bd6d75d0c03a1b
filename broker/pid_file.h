// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_BROKER_PID_FILE_H
#define SMC_STEER_BROKER_PID_FILE_H

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

// The file with the process id, removed at the end.
class PidFile {
public:
    static Result<PidFile> create(const std::string& path) {
        if (path.empty()) {
            return PidFile("");
        }
        UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
        if (!fd) {
            return fail_errno(errno, "--pid-file {}", path);
        }
        PidFile file(path);
        std::string text = fmt::format("{}\n", getpid());
        if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
            return fail_errno(errno, "--pid-file {}: cannot write", path);
        }
        return file;
    }
    PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    PidFile& operator=(PidFile&&) = delete;
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;
    ~PidFile() {
        if (!path_.empty()) {
            unlink(path_.c_str());
        }
    }

private:
    explicit PidFile(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_PID_FILE_H
