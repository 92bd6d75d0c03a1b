// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/throughput.h"

namespace smc_steer {
namespace {

std::uint64_t per_second(std::uint64_t then, std::uint64_t now, std::uint64_t nanoseconds) {
    if (now < then) {
        return 0;
    }
    return static_cast<std::uint64_t>(static_cast<double>(now - then) * 1e9 /
                                      static_cast<double>(nanoseconds));
}

}  // namespace

void Throughput::add(std::uint64_t now_ns, std::uint64_t sent, std::uint64_t received) {
    if (last_ns_ != 0) {
        if (now_ns < last_ns_ + kPeriodNs) {
            return;
        }
        auto took = now_ns - last_ns_;
        rates_.push_back({now_ns, per_second(last_sent_, sent, took),
                          per_second(last_received_, received, took)});
        if (rates_.size() > kPeriods) {
            rates_.pop_front();
        }
    }
    last_ns_ = now_ns;
    last_sent_ = sent;
    last_received_ = received;
}

Rate Throughput::mean(std::uint64_t seconds) const {
    Rate sum;
    std::uint64_t count = 0;
    for (auto it = rates_.rbegin(); it != rates_.rend(); ++it) {
        if (it->end_ns + seconds * 1'000'000'000 <= last_ns_) {
            break;
        }
        sum.sent += it->sent;
        sum.received += it->received;
        count++;
    }
    return count ? Rate{last_ns_, sum.sent / count, sum.received / count} : Rate{};
}

}  // namespace smc_steer
