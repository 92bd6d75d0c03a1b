// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_bounds.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <charconv>
#include <fstream>

#include "agent/base/unique_fd.h"

namespace smc_steer {

bool says_bounded(std::string_view content) {
    content = content.substr(0, content.find_first_of(" \t\n"));
    unsigned version = 0;
    auto [end, error] = std::from_chars(content.data(), content.data() + content.size(), version);
    const bool number = error == std::errc{} && end == content.data() + content.size();
    return content == "Y" || (number && version >= 1);
}

bool smc_bounds_peer_memory(const std::string& file) {
    UniqueFd loads_it(socket(AF_SMC, SOCK_STREAM | SOCK_CLOEXEC, 0));
    std::string content;
    std::getline(std::ifstream(file), content);
    return says_bounded(content);
}

std::string not_trusted(const std::string& kernel) {
    return fmt::format(
        "net/smc of kernel {} does not bound what it reads from the region's memory, and so any "
        "member of the region can harm this machine: write 'trust: region' into agent.yaml if all "
        "members trust each other, or use a kernel whose net/smc does",
        kernel);
}

}  // namespace smc_steer
