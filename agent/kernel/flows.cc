// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/flows.h"

#include <algorithm>
#include <map>
#include <utility>

namespace smc_steer {
namespace {

using Ports = std::pair<std::uint16_t, std::uint16_t>;

FlowMode flow_mode(SmcMode mode) {
    switch (mode) {
        case SmcMode::smcd:
            return FlowMode::smcd;
        case SmcMode::fallback:
            return FlowMode::fallback;
        case SmcMode::smcr:
            break;
    }
    return FlowMode::smcr;
}

}  // namespace

std::string_view to_string(FlowMode mode) {
    switch (mode) {
        case FlowMode::smcd:
            return "SMC-D";
        case FlowMode::smcr:
            return "SMC-R";
        case FlowMode::fallback:
            return "TCP-fallback";
        case FlowMode::tcp:
            break;
    }
    return "TCP";
}

std::vector<Flow> join_flows(const std::vector<SmcSocket>& smc, const std::vector<TcpSocket>& tcp,
                             const std::function<bool(const Address&)>& same_host) {
    std::multimap<Ports, TcpSocket> inner;
    for (const auto& socket : tcp) {
        inner.emplace(Ports{socket.addresses.local_port, socket.addresses.peer_port}, socket);
    }

    std::vector<Flow> flows;
    for (const auto& socket : smc) {
        Flow flow{socket.addresses,
                  flow_mode(socket.mode),
                  socket.reason,
                  socket.uid,
                  socket.inode,
                  socket.bytes,
                  0,
                  {}};
        auto [first, last] =
            inner.equal_range({flow.addresses.local_port, flow.addresses.peer_port});
        // A fallback's inner socket is the user's one now and has that inode or its own;
        // an address smc_diag did fill in decides, else the first one left over.
        auto twin = std::find_if(first, last, [&](const auto& entry) {
            return entry.second.addresses == socket.addresses;
        });
        if (twin == last) {
            twin = first;
        }
        if (twin != last) {
            flow.addresses = twin->second.addresses;
            flow.cgroup = twin->second.cgroup;
            flow.established_ns = twin->second.established_ns;
            if (flow.mode == FlowMode::fallback) {
                flow.bytes = twin->second.bytes;
            }
            inner.erase(twin);
        } else if (flow.mode == FlowMode::fallback) {
            continue;  // its TCP connection is over, the program has not closed it yet
        }
        if (flow.mode != FlowMode::fallback || same_host(flow.addresses.peer)) {
            flows.push_back(flow);
        }
    }
    for (const auto& [ports, socket] : inner) {
        if (same_host(socket.addresses.peer)) {
            flows.push_back({socket.addresses, FlowMode::tcp, 0, socket.uid, socket.inode,
                             socket.bytes, socket.cgroup, socket.established_ns});
        }
    }
    return flows;
}

}  // namespace smc_steer
