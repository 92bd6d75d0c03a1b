// SPDX-License-Identifier: Apache-2.0
#include "agent/workloads/socket_owner.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

// 0: the descriptor is no socket.
std::uint64_t socket_behind(const fs::path& descriptor) {
    constexpr std::string_view kBegin = "socket:[";
    std::array<char, 64> target;
    auto length = readlink(descriptor.c_str(), target.data(), target.size());
    std::string_view text(target.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
    std::uint64_t inode = 0;
    if (text.starts_with(kBegin)) {
        std::from_chars(text.data() + kBegin.size(), text.data() + text.size(), inode);
    }
    return inode;
}

bool is_process(const fs::path& path) {
    auto name = path.filename().string();
    return name.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

std::map<std::uint64_t, std::set<std::string>> socket_commands(const std::string& proc) {
    std::map<std::uint64_t, std::set<std::string>> all;
    std::error_code ignored;  // processes come and go
    for (fs::directory_iterator it(proc, ignored), end; it != end; it.increment(ignored)) {
        if (!is_process(it->path())) {
            continue;
        }
        std::string command;
        std::getline(std::ifstream(it->path() / "comm"), command);
        for (fs::directory_iterator fd(it->path() / "fd", ignored); fd != end;
             fd.increment(ignored)) {
            if (auto inode = socket_behind(fd->path())) {
                all[inode].insert(command);
            }
        }
    }
    return all;
}

}  // namespace smc_steer
