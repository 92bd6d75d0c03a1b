// SPDX-License-Identifier: Apache-2.0
// Whether sockets may become SMC sockets at all. SMC's data is in memory that every member of the
// region can write. Pure.
#ifndef SMC_STEER_AGENT_POLICY_TRUST_H
#define SMC_STEER_AGENT_POLICY_TRUST_H

namespace smc_steer {

// What the operator says of the members of the region (agent.yaml).
enum class Trust { none, region };

// `smc_is_bounded`: the kernel's net/smc bounds what it reads from that memory. One that does not
// can be made to write beyond a buffer, or to panic.
constexpr bool may_steer_to_smc(bool smc_is_bounded, Trust trust) {
    return smc_is_bounded || trust == Trust::region;
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_TRUST_H
