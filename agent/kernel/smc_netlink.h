// SPDX-License-Identifier: Apache-2.0
// What the SMC module says of itself over generic netlink, family SMC_GEN_NETLINK.
// Source: include/uapi/linux/smc.h, net/smc/smc_stats.c, net/smc/smc_clc.c.
#ifndef SMC_STEER_AGENT_KERNEL_SMC_NETLINK_H
#define SMC_STEER_AGENT_KERNEL_SMC_NETLINK_H

#include <cstdint>
#include <string>

#include "agent/kernel/netlink.h"
#include "agent/kernel/smc_totals.h"

namespace smc_steer {

class SmcNetlink {
public:
    // In the calling thread's network namespace. Fails where the module is not loaded.
    static Result<SmcNetlink> open();

    // Value: added just now (false: it was there). EIDs are the machine's, not a
    // namespace's. `eid` is unpadded.
    Result<bool> add_ueid(const std::string& eid);
    // Fine if it is not there.
    Result<void> remove_ueid(const std::string& eid);
    // Has SMC leave new connections of the namespace to TCP while its handshake workers cannot
    // keep up. Value: it did not before.
    Result<bool> limit_handshakes();
    Result<void> unlimit_handshakes();
    Result<SmcStats> stats();

private:
    SmcNetlink(NetlinkSocket socket, std::uint16_t family)
        : socket_(std::move(socket)), family_(family) {}
    Result<bool> has_ueid(const std::string& eid);
    Result<int> ueid_request(std::uint8_t command, const std::string& eid);
    Result<int> command(std::uint8_t command);
    Result<int> dump(std::uint8_t command, const NetlinkSocket::OnMessage& on_message);

    NetlinkSocket socket_;
    std::uint16_t family_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_NETLINK_H
