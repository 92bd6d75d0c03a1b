// SPDX-License-Identifier: Apache-2.0
// agent.yaml. Pure.
#ifndef SMC_STEER_AGENT_DAEMON_CONFIG_H
#define SMC_STEER_AGENT_DAEMON_CONFIG_H

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/direct/heat.h"
#include "agent/policy/cidr.h"
#include "agent/policy/members.h"
#include "agent/policy/trust.h"

namespace smc_steer {

// Endpoints whose connections mostly move fewer bytes and end sooner are left to TCP.
struct ShortConnections {
    bool step_back = true;
    int bytes = 64 << 10;
    int milliseconds = 100;
};

enum class WhenUnsupported { exit, idle };

// What new connections run over. automatic: direct where the kernel's module for it is loaded, else
// SMC.
enum class Path { automatic, smc, direct, off };

struct OffloadConfig {
    OffloadLimits limits;
    std::uint16_t port = 7256;  // TCP, where agents of other guests ask for connections to be moved
    bool restore_on_exit = false;
};

struct Config {
    Path path = Path::automatic;
    OffloadConfig offload;
    std::string device = "auto";  // or a path
    int wmem = 1 << 20;           // bytes, net.smc.wmem is raised to it
    int rmem = 1 << 20;
    std::vector<Workload> workloads = container_cgroups();  // whose sockets are steered
    bool pods = true;                                       // steer pods that do not say whether
    std::string cri = "auto";  // or "off", or a container runtime's socket
    std::set<std::string> exclude_interfaces;
    std::vector<Cidr> exclude_networks;
    std::vector<Cidr> services;      // addresses that are rewritten on the way, on this machine
    std::string eid = "auto";        // or an EID
    Trust trust = Trust::none;       // of the members of the region
    std::uint16_t link_port = 7254;  // TCP, where agents of other guests connect to
    WhenUnsupported when_unsupported = WhenUnsupported::exit;
    std::string metrics_listen = "127.0.0.1:9470";  // empty: no metrics
    bool status_page = false;                       // beside them
    bool bpf_stats = true;
    ShortConnections short_connections;
    std::string control_read = "root";   // or "all", or a group
    std::string control_write = "root";  // or a group
};

// `name` is what errors call the file: "name:line: key: what". An empty text is the defaults.
Result<Config> parse_config(std::string_view text, const std::string& name);

// Bytes: "65536", "64KiB", "1MiB" ("K" and "M" mean the same); SMC's sysctls take 16 KiB to
// 1 GiB.
Result<int> parse_size(std::string_view text);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_CONFIG_H
