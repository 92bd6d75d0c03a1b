// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/pins.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <vector>

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "abi-";

// 0: not a name of ours.
int version_of(const std::string& name) {
    int version = 0;
    if (!name.starts_with(kPrefix)) {
        return 0;
    }
    const char* last = name.data() + name.size();
    auto [end, error] = std::from_chars(name.data() + kPrefix.size(), last, version);
    return error == std::errc{} && end == last && version > 0 ? version : 0;
}

Result<std::vector<int>> list_versions(const std::string& directory) {
    std::vector<int> versions;
    std::error_code error;
    for (fs::directory_iterator it(directory, error), end; !error && it != end;
         it.increment(error)) {
        if (int version = version_of(it->path().filename().string())) {
            versions.push_back(version);
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        return fail_errno(error.value(), "cannot list {}", directory);
    }
    return versions;
}

std::string place(const std::string& directory, int version) {
    return fmt::format("{}/{}{}", directory, kPrefix, version);
}

}  // namespace

Result<int> Pins::version() const {
    auto versions = list_versions(directory_);
    if (!versions) {
        return tl::unexpected(versions.error());
    }
    int highest = 0;
    for (int version : *versions) {
        highest = std::max(highest, version);
    }
    return highest;
}

Result<void> Pins::check_version(int known) const {
    auto there = version();
    if (!there) {
        return tl::unexpected(there.error());
    }
    if (*there > known) {
        return fail(
            "the BPF maps in {} have ABI {}, this smc-agent knows {}: start the newer smc-agent, "
            "or remove them with 'smc-policy cleanup'",
            directory_, *there, known);
    }
    return {};
}

UniqueFd Pins::open(int version, const std::string& map) const {
    return UniqueFd(bpf_obj_get((place(directory_, version) + "/" + map).c_str()));
}

Result<void> Pins::pin(int version, const SharedMaps& maps) const {
    struct statfs fs {};
    auto parent = fs::path(directory_).parent_path().string();
    if (statfs(parent.c_str(), &fs) != 0 || fs.f_type != BPF_FS_MAGIC) {
        return fail("no bpffs at {}: 'mount -t bpf bpf {}' mounts it", parent, parent);
    }
    auto versions = list_versions(directory_);
    if (!versions) {
        return tl::unexpected(versions.error());
    }
    auto own = place(directory_, version);
    std::error_code error;
    fs::create_directories(own, error);
    if (error) {
        return fail_errno(error.value(), "cannot make {}", own);
    }
    for (const auto& [name, fd] : maps) {
        auto path = fmt::format("{}/{}", own, name);
        auto fresh = path + "_new";  // bpffs takes no dots
        std::remove(fresh.c_str());
        if (bpf_obj_pin(fd, fresh.c_str()) != 0) {
            return fail_errno(errno, "cannot pin BPF map {}", path);
        }
        if (std::rename(fresh.c_str(), path.c_str()) != 0) {
            return fail_errno(errno, "cannot replace BPF map {}", path);
        }
    }
    for (int other : *versions) {
        if (other != version) {
            fs::remove_all(place(directory_, other), error);
        }
    }
    return {};
}

void Pins::remove() const {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
}

}  // namespace smc_steer
