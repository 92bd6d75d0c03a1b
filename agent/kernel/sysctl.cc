// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/unique_fd.h"
#include "agent/kernel/proc_root.h"

namespace smc_steer {
namespace {

std::string path_of(const std::string& name) {
    std::string path = name;
    std::replace(path.begin(), path.end(), '.', '/');
    return proc_root() + "/sys/" + path;
}

}  // namespace

Result<std::string> read_sysctl(const std::string& name) {
    UniqueFd fd(open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return fail_errno(errno, "cannot open sysctl {}", name);
    }
    char buffer[256];
    ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n < 0) {
        return fail_errno(errno, "cannot read sysctl {}", name);
    }
    std::string value(buffer, n);
    while (!value.empty() && (value.back() == '\n' || value.back() == '\0')) {
        value.pop_back();
    }
    return value;
}

Result<void> write_sysctl(const std::string& name, const std::string& value) {
    UniqueFd fd(open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) {
        return fail_errno(errno, "cannot open sysctl {}", name);
    }
    // The newline makes an empty value a write of one byte: of none there is no write.
    std::string line = value + "\n";
    if (write(fd.get(), line.data(), line.size()) < 0) {
        return fail_errno(errno, "cannot set sysctl {} to '{}'", name, value);
    }
    return {};
}

}  // namespace smc_steer
