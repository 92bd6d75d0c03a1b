// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/decisions.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>

namespace smc_steer {

Result<std::unique_ptr<Decisions>> Decisions::open(const SharedMaps& maps, OnDecision on_decision) {
    auto monitor = maps.find("monitor");
    auto decisions = maps.find("decisions");
    if (monitor == maps.end() || decisions == maps.end()) {
        return fail("no BPF object has the maps monitor and decisions");
    }
    std::unique_ptr<Decisions> self(new Decisions(monitor->second, std::move(on_decision)));
    auto on_sample = [](void* context, void* data, std::size_t size) {
        if (size >= sizeof(steer_decision)) {
            steer_decision decision;
            std::memcpy(&decision, data, sizeof(decision));
            static_cast<Decisions*>(context)->on_decision_(decision);
        }
        return 0;
    };
    self->ring_.reset(ring_buffer__new(decisions->second, on_sample, self.get(), nullptr));
    if (!self->ring_) {
        return fail_errno(errno, "cannot read the handshake's decisions");
    }
    if (auto done = self->listen(1); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Decisions::~Decisions() {
    if (ring_) {
        (void)listen(0);  // at worst decisions are reported to nobody
    }
}

int Decisions::fd() const { return ring_buffer__epoll_fd(ring_.get()); }

void Decisions::consume() { ring_buffer__consume(ring_.get()); }

std::uint64_t Decisions::lost() const {
    std::uint32_t zero = 0;
    steer_monitor monitor{};
    return bpf_map_lookup_elem(monitor_, &zero, &monitor) == 0 ? monitor.lost : 0;
}

Result<void> Decisions::listen(std::uint32_t listeners) {
    std::uint32_t zero = 0;
    // `lost` is BPF's: what is lost between these two calls is not counted.
    steer_monitor monitor{listeners, 0, lost()};
    if (bpf_map_update_elem(monitor_, &zero, &monitor, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot have decisions reported");
    }
    return {};
}

}  // namespace smc_steer
