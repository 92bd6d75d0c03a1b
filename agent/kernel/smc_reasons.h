// SPDX-License-Identifier: Apache-2.0
// Why an SMC socket became TCP: the codes of net/smc/smc_clc.h (SMC_CLC_DECL_*), spelled out.
// Pure.
#ifndef SMC_STEER_AGENT_KERNEL_SMC_REASONS_H
#define SMC_STEER_AGENT_KERNEL_SMC_REASONS_H

#include <cstdint>
#include <string>
#include <string_view>

namespace smc_steer {

// SMC_CLC_DECL_PEERNOSMC: the TCP handshake did not agree on SMC. Every steered socket that
// speaks to somebody else ends here, so it is no failure.
inline constexpr std::uint32_t kReasonPeerNoSmc = 0x03010000;

struct SmcReason {
    std::uint32_t code;
    std::string_view name;  // the kernel's, without SMC_CLC_DECL_
    std::string_view text;
    std::string_view remedy;  // empty: nothing to do about it
};

// Null: a code this program does not know.
const SmcReason* find_reason(std::uint32_t code);

// The name, or "UNKNOWN".
std::string reason_name(std::uint32_t code);
// "no common EID"; 0 and unknown codes: empty.
std::string reason_text(std::uint32_t code);
// "0x03010000"
std::string reason_code(std::uint32_t code);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_REASONS_H
