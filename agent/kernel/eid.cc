// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/eid.h"

#include <fmt/format.h>

#include <algorithm>

namespace smc_steer {
namespace {

constexpr std::size_t kLength = 32;  // SMC_MAX_EID_LEN

bool alnum(char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string eid_of_region(const std::array<std::uint8_t, 16>& uuid) {
    std::string eid = "SMC-STEER-";
    for (int i = 0; i < 8; i++) {
        eid += fmt::format("{:02X}", uuid[i]);
    }
    return eid;
}

Result<void> check_eid(const std::string& eid) {
    if (eid.empty() || eid.size() > kLength) {
        return fail("'{}' has {} characters: an EID has 1 to {}", eid, eid.size(), kLength);
    }
    bool good = std::all_of(eid.begin(), eid.end(),
                            [](char c) { return alnum(c) || c == '.' || c == '-'; });
    if (!good || !alnum(eid[0])) {
        return fail("'{}' is not an EID: A-Z, 0-9, '.' and '-' only, a letter or digit first", eid);
    }
    return {};
}

std::string pad_eid(const std::string& eid) {
    std::string padded = eid;
    padded.resize(kLength, ' ');
    return padded;
}

}  // namespace smc_steer
