// SPDX-License-Identifier: Apache-2.0
// What the SMC module says of itself over generic netlink, family SMC_GEN_NETLINK.
// Source: include/uapi/linux/smc.h, net/smc/smc_stats.c, net/smc/smc_clc.c.
#ifndef SMC_STEER_AGENT_KERNEL_SMC_NETLINK_H
#define SMC_STEER_AGENT_KERNEL_SMC_NETLINK_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/kernel/netlink.h"

namespace smc_steer {

// SMC_CLC_DECL_PEERNOSMC in net/smc/smc_clc.h: the TCP handshake did not agree on SMC.
// Every steered socket that speaks to somebody else ends here, so it is no failure.
inline constexpr std::uint32_t kReasonPeerNoSmc = 0x03010000;

// Of one network namespace, since it exists (or the module was loaded).
struct SmcStats {
    std::uint64_t smcd_client = 0;  // connections that became SMC-D
    std::uint64_t smcd_server = 0;
    std::uint64_t handshake_errors = 0;
    // steered sockets that became TCP, by reason; the kernel counts each in 16 bits
    std::map<std::uint32_t, std::uint16_t> fallbacks_client;
    std::map<std::uint32_t, std::uint16_t> fallbacks_server;
};

// What SMC decided since `then`; `now` must be of the same namespace.
struct SmcOutcome {
    std::uint64_t smcd = 0;
    std::uint64_t not_agreed = 0;  // became TCP because the handshake did not agree
    std::uint64_t failed = 0;      // became TCP although it did

    SmcOutcome& operator+=(const SmcOutcome& other);
};
SmcOutcome outcome_since(const SmcStats& then, const SmcStats& now);

// "the peer sent no common EID" for reason codes that people meet; else empty.
std::string reason_text(std::uint32_t reason);

class SmcNetlink {
public:
    // In the calling thread's network namespace. Fails where the module is not loaded.
    static Result<SmcNetlink> open();

    // Value: added just now (false: it was there). EIDs are the machine's, not a
    // namespace's. `eid` is unpadded.
    Result<bool> add_ueid(const std::string& eid);
    // Fine if it is not there.
    Result<void> remove_ueid(const std::string& eid);
    Result<SmcStats> stats();

private:
    SmcNetlink(NetlinkSocket socket, std::uint16_t family)
        : socket_(std::move(socket)), family_(family) {}
    Result<bool> has_ueid(const std::string& eid);
    Result<int> ueid_request(std::uint8_t command, const std::string& eid);
    Result<int> dump(std::uint8_t command, const NetlinkSocket::OnMessage& on_message);

    NetlinkSocket socket_;
    std::uint16_t family_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_NETLINK_H
