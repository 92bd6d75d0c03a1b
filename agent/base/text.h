// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_AGENT_BASE_TEXT_H
#define SMC_STEER_AGENT_BASE_TEXT_H

#include <algorithm>
#include <string>

namespace smc_steer {

// For messages that repeat what others wrote: every control character becomes a space.
inline std::string one_line(std::string text) {
    std::replace_if(
        text.begin(), text.end(),
        [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
    return text;
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_TEXT_H
