// SPDX-License-Identifier: Apache-2.0
// SMC's statistics as counters that only grow: the kernel's fallback counters are 16 bits wide
// and wrap, and its namespaces go away. Pure.
#ifndef SMC_STEER_AGENT_KERNEL_SMC_TOTALS_H
#define SMC_STEER_AGENT_KERNEL_SMC_TOTALS_H

#include <cstdint>
#include <map>

namespace smc_steer {

// Of one network namespace, since it exists (or the module was loaded), as the kernel says it.
struct SmcStats {
    std::uint64_t smcd_client = 0;  // connections that became SMC-D
    std::uint64_t smcd_server = 0;
    std::uint64_t handshake_errors = 0;
    std::uint64_t smcd_sent = 0;  // bytes that programs wrote and read
    std::uint64_t smcd_received = 0;
    // steered sockets that became TCP, by reason
    std::map<std::uint32_t, std::uint16_t> fallbacks_client;
    std::map<std::uint32_t, std::uint16_t> fallbacks_server;
};

// Summed over time and namespaces.
struct SmcTotals {
    std::uint64_t smcd_client = 0;
    std::uint64_t smcd_server = 0;
    std::uint64_t handshake_errors = 0;
    std::uint64_t smcd_sent = 0;  // not saved: of this process's life
    std::uint64_t smcd_received = 0;
    std::map<std::uint32_t, std::uint64_t> fallbacks_client;
    std::map<std::uint32_t, std::uint64_t> fallbacks_server;

    // What one namespace counted between two looks. They must not be further apart than
    // 65,535 fallbacks of one kind.
    void add_growth(const SmcStats& then, const SmcStats& now);

    std::uint64_t smcd() const { return smcd_client + smcd_server; }
    // became TCP because the TCP handshake did not agree
    std::uint64_t not_agreed() const;
    // became TCP although it did
    std::uint64_t failed() const;

    bool operator==(const SmcTotals&) const = default;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_SMC_TOTALS_H
