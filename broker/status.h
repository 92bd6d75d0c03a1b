// SPDX-License-Identifier: Apache-2.0
// What a region looks like from outside: for `ivpci-broker status`, for programs, for Prometheus.
// Pure; the server fills it in.
#ifndef SMC_STEER_BROKER_STATUS_H
#define SMC_STEER_BROKER_STATUS_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace smc_steer::broker {

struct SlotStatus {
    uint32_t slot = 0;
    std::string state;  // CONNECTED, LIVE; HELD: its QEMU may still have the region mapped
    uint32_t generation = 0;
    uint64_t gid = 0;
    int64_t pid = 0;  // of the QEMU; 0: not known
    uint32_t uid = 0;
    std::optional<double> heartbeat_age;  // seconds; LIVE only
    uint32_t chunks = 0;
    uint32_t condemned = 0;
    bool relearned = false;
};

struct RegionStatus {
    std::string name, socket, uuid, memory;
    uint64_t size = 0;
    uint32_t slots = 0, vectors = 0;
    uint32_t chunks = 0, free = 0, leased = 0, condemned = 0;
    std::vector<SlotStatus> used;
    std::map<std::string, uint64_t> counters;  // by name, "connects"; all count up
};

std::string to_json(const std::vector<RegionStatus>& regions);
std::string to_prometheus(const std::vector<RegionStatus>& regions);

// The table people read, from what to_json() wrote (a running broker may be of another version).
Result<std::string> to_table(const std::string& json);

// One line, as for systemd: "2 of 16 slots connected, ...".
std::string summary(const std::vector<RegionStatus>& regions);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_STATUS_H
