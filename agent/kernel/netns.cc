// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <cctype>
#include <cerrno>
#include <filesystem>

#include "agent/base/thread.h"

namespace smc_steer {
namespace {

void note(std::map<NetnsId, std::string>& found, const std::string& path) {
    struct stat st {};
    if (stat(path.c_str(), &st) == 0) {
        found.try_emplace({st.st_dev, st.st_ino}, path);
    }
}

}  // namespace

std::map<NetnsId, std::string> list_netns(const NetnsPlaces& places) {
    namespace fs = std::filesystem;
    std::map<NetnsId, std::string> found;
    std::error_code ignored;  // what goes away while we look is not there

    // Our own first: nsfs is the device of everything that counts.
    const std::string own = places.proc + "/self/ns/net";
    struct stat nsfs {};
    bool have_nsfs = stat(own.c_str(), &nsfs) == 0;
    note(found, own);
    for (const auto& dir : places.bind_dirs) {
        for (fs::directory_iterator it(dir, ignored), end; it != end; it.increment(ignored)) {
            note(found, it->path());
        }
    }
    for (fs::directory_iterator it(places.proc, ignored), end; it != end; it.increment(ignored)) {
        auto name = it->path().filename().string();
        if (std::isdigit(static_cast<unsigned char>(name[0]))) {
            note(found, it->path() / "ns/net");
        }
    }
    // A file in a bind directory that nothing is mounted on yet (or any more) is no namespace.
    if (have_nsfs) {
        std::erase_if(found, [&](const auto& entry) { return entry.first.device != nsfs.st_dev; });
    }
    return found;
}

NetnsId own_netns() {
    struct stat st {};
    return stat("/proc/thread-self/ns/net", &st) == 0 ? NetnsId{st.st_dev, st.st_ino} : NetnsId{};
}

Result<UniqueFd> open_netns(const std::string& path, NetnsId id) {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        // EACCES is what the kernel says of a process that has just ended: proc_ns_get_link().
        if (errno == ENOENT || errno == ESRCH || errno == EACCES) {
            return UniqueFd();
        }
        return fail_errno(errno, "cannot open network namespace {}", path);
    }
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) {
        return fail_errno(errno, "cannot stat {}", path);
    }
    if (NetnsId{st.st_dev, st.st_ino} != id) {
        return UniqueFd();
    }
    return fd;
}

Result<void> run_in_netns(const UniqueFd& netns, const std::function<Result<void>()>& work) {
    Result<void> result;
    auto thread = start_thread([&] {
        if (setns(netns.get(), CLONE_NEWNET) != 0) {
            result = fail_errno(errno, "cannot enter a network namespace");
        } else {
            result = work();
        }
    });
    if (!thread) {
        return tl::unexpected(thread.error());
    }
    thread->join();
    return result;
}

}  // namespace smc_steer
