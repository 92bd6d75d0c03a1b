// SPDX-License-Identifier: Apache-2.0
// Registrations of smc_hs_ctrl. They have no link: who registered one can die, and it stays,
// used by every network namespace whose sysctl names it.
#ifndef SMC_STEER_AGENT_KERNEL_STRUCT_OPS_H
#define SMC_STEER_AGENT_KERNEL_STRUCT_OPS_H

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer {

// The two names an agent registers under, in turns: a new agent takes the free one, moves
// every namespace over, then drops what a crashed one left.
inline constexpr const char* kHandshakeNames[] = {"smc_steer_a", "smc_steer_b"};

bool is_handshake_name(const std::string& name);

struct Registration {
    std::string name;
    std::uint32_t map_id = 0;
    UniqueFd map;
};

// struct_ops maps of our two names that are registered now (and not merely kept alive by a
// namespace after their end). Needs CAP_SYS_ADMIN.
Result<std::vector<Registration>> list_registrations();

// Ends it. Namespaces that still name it keep working with it until their sysctl changes
// (they hold a reference), but nobody can choose it any more. Fine if it ended already.
Result<void> unregister(const Registration& registration);

// The name to register under beside `existing`. Where both are taken, the one to
// unregister first.
struct NameChoice {
    std::string name;
    bool taken = false;
};
NameChoice choose_handshake_name(const std::vector<std::string>& existing);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_STRUCT_OPS_H
