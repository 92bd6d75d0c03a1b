// SPDX-License-Identifier: Apache-2.0
#include "agent/workloads/machine.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

namespace smc_steer {
namespace {

struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
};

template <typename F>
void for_each_entry(const std::string& path, F visit) {
    std::unique_ptr<DIR, CloseDirectory> directory(opendir(path.c_str()));
    if (!directory) {
        return;
    }
    while (const dirent* entry = readdir(directory.get())) {
        std::string name = entry->d_name;
        if (name != "." && name != "..") {
            visit(name, *entry);
        }
    }
}

}  // namespace

// A cgroup's id is the inode number of its directory.
std::vector<CgroupEntry> list_cgroups(const std::string& mount) {
    std::vector<CgroupEntry> all;
    struct stat st {};
    if (stat(mount.c_str(), &st) != 0) {
        return all;
    }
    all.push_back({"/", st.st_ino});
    for (std::size_t i = 0; i < all.size(); i++) {
        std::string path = all[i].path == "/" ? "" : all[i].path;
        for_each_entry(mount + path, [&](const std::string& name, const dirent& entry) {
            if (entry.d_type == DT_DIR) {
                all.push_back({fmt::format("{}/{}", path, name), entry.d_ino});
            }
        });
    }
    return all;
}

std::vector<std::string> list_directories(const std::string& directory) {
    std::vector<std::string> names;
    for_each_entry(directory, [&](const std::string& name, const dirent& entry) {
        if (entry.d_type == DT_DIR) {
            names.push_back(name);
        }
    });
    return names;
}

std::map<std::string, std::uint64_t> list_named_netns(const std::string& directory) {
    std::map<std::string, std::uint64_t> all;
    for_each_entry(directory, [&](const std::string& name, const dirent&) {
        struct stat st {};
        if (stat((directory + "/" + name).c_str(), &st) == 0) {
            all.emplace(name, st.st_ino);
        }
    });
    return all;
}

}  // namespace smc_steer
