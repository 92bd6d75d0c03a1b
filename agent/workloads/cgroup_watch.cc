// SPDX-License-Identifier: Apache-2.0
#include "agent/workloads/cgroup_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "agent/workloads/machine.h"

namespace smc_steer {
namespace {

constexpr std::size_t kEventsMost = 16384;  // bytes read at once
constexpr std::uint32_t kMask =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW;

std::string below(const std::string& path, const std::string& name) {
    return path == "/" ? "/" + name : path + "/" + name;
}

}  // namespace

CgroupWatch::CgroupWatch(std::string mount)
    : mount_(std::move(mount)), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

// Watched before it is listed: what is made meanwhile is seen at least once.
void CgroupWatch::visit(const std::string& path, std::vector<NewCgroup>& found) {
    struct stat st {};
    auto directory = path == "/" ? mount_ : mount_ + path;
    if (lstat(directory.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
        forget(path);
        return;
    }
    auto entry = all_.find(path);
    if (entry != all_.end() && entry->second.id != st.st_ino) {
        forget(path);
        entry = all_.end();
    }
    if (entry == all_.end()) {
        entry = all_.emplace(path, Known{st.st_ino, -1}).first;
        found.push_back({{path, st.st_ino},
                         static_cast<std::uint64_t>(st.st_ctim.tv_sec) * 1'000'000'000 +
                             static_cast<std::uint64_t>(st.st_ctim.tv_nsec)});
    }
    auto& known = entry->second;
    if (known.watch < 0) {
        known.watch = inotify_add_watch(inotify_.get(), directory.c_str(), kMask);
        if (known.watch >= 0) {
            paths_[known.watch] = path;
        }
    }
    for (const auto& name : list_directories(directory)) {
        visit(below(path, name), found);
    }
}

void CgroupWatch::unwatch(const Known& known) {
    if (known.watch >= 0) {
        // Ours alone would keep a removed directory's inode.
        inotify_rm_watch(inotify_.get(), known.watch);
        paths_.erase(known.watch);
    }
}

void CgroupWatch::forget(const std::string& path) {
    auto it = all_.find(path);
    if (it == all_.end()) {
        return;
    }
    unwatch(it->second);
    all_.erase(it);
    auto prefix = path == "/" ? path : path + "/";
    for (it = all_.lower_bound(prefix); it != all_.end() && it->first.starts_with(prefix);) {
        unwatch(it->second);
        it = all_.erase(it);
    }
}

std::vector<NewCgroup> CgroupWatch::read_events() {
    std::vector<NewCgroup> found;
    alignas(inotify_event) std::array<char, kEventsMost> buffer;
    for (;;) {
        auto length = ::read(inotify_.get(), buffer.data(), buffer.size());
        if (length <= 0) {
            return found;
        }
        for (ssize_t at = 0; at < length;) {
            inotify_event event;
            std::memcpy(&event, buffer.data() + at, sizeof(event));
            const char* name = buffer.data() + at + sizeof(event);
            at += static_cast<ssize_t>(sizeof(event) + event.len);
            if (event.mask & IN_Q_OVERFLOW) {
                auto more = scan();
                found.insert(found.end(), more.begin(), more.end());
                continue;
            }
            auto directory = paths_.find(event.wd);
            if (directory == paths_.end() || !(event.mask & IN_ISDIR) || event.len == 0) {
                continue;
            }
            auto path = below(directory->second, name);
            if (event.mask & (IN_DELETE | IN_MOVED_FROM)) {
                forget(path);
            }
            // A name that was removed and made again in the meantime is there.
            visit(path, found);
        }
    }
}

std::vector<NewCgroup> CgroupWatch::scan() {
    std::vector<NewCgroup> found;
    // What is gone first: visit() finds only what is there.
    std::vector<std::string> gone;
    for (const auto& [path, known] : all_) {
        struct stat st {};
        if (lstat((path == "/" ? mount_ : mount_ + path).c_str(), &st) != 0) {
            gone.push_back(path);
        }
    }
    for (const auto& path : gone) {
        forget(path);
    }
    visit("/", found);
    return found;
}

std::vector<CgroupEntry> CgroupWatch::list() const {
    std::vector<CgroupEntry> list;
    list.reserve(all_.size());
    // A path comes before those that go on from it.
    for (const auto& [path, known] : all_) {
        list.push_back({path, known.id});
    }
    return list;
}

}  // namespace smc_steer
