// SPDX-License-Identifier: Apache-2.0
// What the handshake decides, as it decides it (bpf/lib/decisions.h).
#ifndef SMC_STEER_AGENT_KERNEL_DECISIONS_H
#define SMC_STEER_AGENT_KERNEL_DECISIONS_H

#include <smc_steer/events_abi.h>

#include <functional>
#include <memory>

#include "agent/base/result.h"
#include "agent/kernel/bpf_object.h"

namespace smc_steer {

// BPF reports while this lives.
class Decisions {
public:
    using OnDecision = std::function<void(const steer_decision&)>;
    static Result<std::unique_ptr<Decisions>> open(const SharedMaps& maps, OnDecision on_decision);
    ~Decisions();
    Decisions(const Decisions&) = delete;
    Decisions& operator=(const Decisions&) = delete;

    // Readable when there is something to consume().
    int fd() const;
    void consume();
    // Since the maps were made.
    std::uint64_t lost() const;

private:
    struct Free {
        void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
    };
    Decisions(int monitor, OnDecision on_decision)
        : monitor_(monitor), on_decision_(std::move(on_decision)) {}
    Result<void> listen(std::uint32_t listeners);

    int monitor_;
    OnDecision on_decision_;
    std::unique_ptr<ring_buffer, Free> ring_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_DECISIONS_H
