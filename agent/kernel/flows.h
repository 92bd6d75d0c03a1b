// SPDX-License-Identifier: Apache-2.0
// Which living connections run over what: SMC sockets and TCP sockets of one network
// namespace, put together. Pure.
#ifndef SMC_STEER_AGENT_KERNEL_FLOWS_H
#define SMC_STEER_AGENT_KERNEL_FLOWS_H

#include <functional>
#include <string>
#include <vector>

#include "agent/kernel/diag.h"

namespace smc_steer {

enum class FlowMode {
    smcd,      // steered, data runs over SMC-D
    smcr,      // steered, still in SMC's handshake, or SMC-R
    fallback,  // steered, runs over TCP
    tcp,       // never steered
};

// "SMC-D", "SMC-R", "TCP-fallback", "TCP"
std::string_view to_string(FlowMode mode);

struct Flow {
    SocketAddresses addresses;
    FlowMode mode = FlowMode::tcp;
    std::uint32_t reason = 0;
    std::uint32_t uid = 0;
    std::uint64_t inode = 0;
    Transferred bytes{};
    std::uint64_t cgroup = 0;  // 0: unknown
    std::optional<std::uint64_t> established_ns{};
};

// SMC-D and SMC-R connections, and TCP ones with a peer that `same_host` knows. An SMC socket
// takes the addresses of the inner TCP socket with its ports. Where several share both
// ports, they are dealt out in order: the totals are right, a single line may carry the
// addresses of its twin.
std::vector<Flow> join_flows(const std::vector<SmcSocket>& smc, const std::vector<TcpSocket>& tcp,
                             const std::function<bool(const Address&)>& same_host);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_FLOWS_H
