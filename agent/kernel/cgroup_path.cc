// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/cgroup_path.h"

#include <sys/stat.h>

#include <filesystem>

namespace smc_steer {

// A cgroup's id is the inode number of its directory. Opening one by its file handle would be
// quicker, and needs a kernel option (FHANDLE) and a capability more.
void CgroupPaths::read() {
    namespace fs = std::filesystem;
    auto note = [&](const std::string& path) {
        struct stat st {};
        if (stat(path.c_str(), &st) == 0) {
            auto below = path.substr(mount_.size());
            known_[st.st_ino] = below.empty() ? "/" : below;
        }
    };
    note(mount_);
    std::error_code ignored;  // what goes away while we look is not there
    for (fs::recursive_directory_iterator it(mount_, ignored), end; it != end;
         it.increment(ignored)) {
        if (it->is_directory(ignored)) {
            note(it->path());
        }
    }
}

std::string CgroupPaths::of(std::uint64_t id) {
    if (id == 0) {
        return "";
    }
    if (!read_) {
        read();
        read_ = true;
    }
    auto entry = known_.find(id);
    return entry == known_.end() ? "" : entry->second;
}

}  // namespace smc_steer
