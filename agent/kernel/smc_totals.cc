// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_totals.h"

#include "agent/kernel/smc_reasons.h"

namespace smc_steer {
namespace {

void add_fallbacks(const std::map<std::uint32_t, std::uint16_t>& then,
                   const std::map<std::uint32_t, std::uint16_t>& now,
                   std::map<std::uint32_t, std::uint64_t>& totals) {
    for (const auto& [reason, count] : now) {
        auto before = then.find(reason);
        // The counter wraps at 16 bits, and so does the difference.
        std::uint16_t grown = count - (before == then.end() ? 0 : before->second);
        if (grown) {
            totals[reason] += grown;
        }
    }
}

std::uint64_t of_reason(const std::map<std::uint32_t, std::uint64_t>& fallbacks, bool agreed) {
    std::uint64_t sum = 0;
    for (const auto& [reason, count] : fallbacks) {
        sum += (reason != kReasonPeerNoSmc) == agreed ? count : 0;
    }
    return sum;
}

}  // namespace

void SmcTotals::add_growth(const SmcStats& then, const SmcStats& now) {
    smcd_client += now.smcd_client - then.smcd_client;
    smcd_server += now.smcd_server - then.smcd_server;
    handshake_errors += now.handshake_errors - then.handshake_errors;
    smcd_sent += now.smcd_sent - then.smcd_sent;
    smcd_received += now.smcd_received - then.smcd_received;
    add_fallbacks(then.fallbacks_client, now.fallbacks_client, fallbacks_client);
    add_fallbacks(then.fallbacks_server, now.fallbacks_server, fallbacks_server);
}

std::uint64_t SmcTotals::not_agreed() const {
    return of_reason(fallbacks_client, false) + of_reason(fallbacks_server, false);
}

std::uint64_t SmcTotals::failed() const {
    return of_reason(fallbacks_client, true) + of_reason(fallbacks_server, true);
}

}  // namespace smc_steer
