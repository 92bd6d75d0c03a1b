// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_AGENT_BASE_ARGV_H
#define SMC_STEER_AGENT_BASE_ARGV_H

#include <string>
#include <vector>

namespace smc_steer {

// As exec() and posix_spawn() take it, null at its end. Valid as long as `words` is; nobody writes
// through it.
inline std::vector<char*> argv_of(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (const auto& word : words) {
        argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    return argv;
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_ARGV_H
