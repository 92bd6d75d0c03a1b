// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_reasons.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace smc_steer {
namespace {

constexpr std::string_view kSeeDevice = "'smc-policy doctor'; is the EID the same in all guests?";
constexpr std::string_view kSameEid = "give all guests of the region the same 'eid' in agent.yaml";
constexpr std::string_view kMoreRegion = "make the region larger, or net.smc.wmem and rmem smaller";

constexpr std::array<SmcReason, 36> kReasons{{
    {0x01010000, "MEM", "out of memory", "give the guest more memory"},
    {0x02010000, "TIMEOUT_CL", "no answer to CONFIRM LINK (SMC-R)", ""},
    {0x02020000, "TIMEOUT_AL", "no answer to ADD LINK (SMC-R)", ""},
    {0x03000000, "CNFERR", "configuration error", ""},
    {kReasonPeerNoSmc, "PEERNOSMC", "not agreed in the TCP handshake", ""},
    {0x03020000, "IPSEC", "IPsec is in use", ""},
    {0x03030000, "NOSMCDEV", "no SMC device", kSeeDevice},
    {0x03030001, "NOSMCDDEV", "no SMC-D device", kSeeDevice},
    {0x03030002, "NOSMCRDEV", "no SMC-R device", kSeeDevice},
    {0x03030003, "NOISM2SUPP", "the device does not do SMC-Dv2", kSeeDevice},
    {0x03030004, "NOV2EXT", "the peer sent no SMCv2 extension", ""},
    {0x03030005, "NOV2DEXT", "the peer sent no SMC-Dv2 extension", ""},
    {0x03030006, "NOSEID", "no common EID (system EID)", kSameEid},
    {0x03030007, "NOSMCD2DEV", "no SMC-Dv2 device that reaches the peer", kSeeDevice},
    {0x03030008, "NOUEID", "no common EID", kSameEid},
    {0x03030009, "RELEASEERR", "no common SMC release", ""},
    {0x0303000a, "MAXCONNERR", "no common number of connections", ""},
    {0x0303000b, "MAXLINKERR", "no common number of links", ""},
    {0x03040000, "MODEUNSUPP", "no common SMC mode", kSeeDevice},
    {0x03050000, "RMBE_EC", "the peer wants an eye catcher in the buffer", ""},
    {0x03060000, "OPTUNSUPP", "a socket option SMC does not have (TCP fast open)", ""},
    {0x03070000, "DIFFPREFIX", "different IP prefixes (SMCv1)", ""},
    {0x03080000, "GETVLANERR", "the VLAN of the IP device cannot be found", ""},
    {0x03090000, "ISMVLANERR", "the VLAN cannot be set on the SMC-D device", ""},
    {0x030a0000, "NOACTLINK", "no active link (SMC-R)", ""},
    {0x030b0000, "NOSRVLINK", "the server's link was not found (SMC-R)", ""},
    {0x030c0000, "VERSMISMAT", "different SMC versions", ""},
    {0x030d0000, "MAX_DMB", "the device has no DMB left", kMoreRegion},
    {0x030e0000, "NOROUTE", "no route to the peer (SMC-Rv2)", ""},
    {0x030f0000, "NOINDIRECT", "direct and indirect do not match (SMC-Rv2)", ""},
    {0x04000000, "SYNCERR", "the handshake went out of step", ""},
    {0x05000000, "PEERDECL", "the peer declined; its own reasons say why",
     "'smc-policy reasons' in the peer"},
    {0x09990000, "INTERR", "internal error of SMC", ""},
    {0x09990001, "ERR_RTOK", "internal error of SMC (remote token)", ""},
    {0x09990002, "ERR_RDYLNK", "internal error of SMC (link not ready)", ""},
    {0x09990003, "ERR_REGBUF", "internal error of SMC (buffers not registered)", ""},
}};

}  // namespace

const SmcReason* find_reason(std::uint32_t code) {
    const auto* found = std::find_if(kReasons.begin(), kReasons.end(),
                                     [&](const auto& reason) { return reason.code == code; });
    return found == kReasons.end() ? nullptr : found;
}

std::string reason_name(std::uint32_t code) {
    const auto* reason = find_reason(code);
    return std::string(reason ? reason->name : "UNKNOWN");
}

std::string reason_text(std::uint32_t code) {
    const auto* reason = find_reason(code);
    return std::string(reason ? reason->text : "");
}

std::string reason_code(std::uint32_t code) { return fmt::format("{:#010x}", code); }

}  // namespace smc_steer
