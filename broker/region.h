// SPDX-License-Identifier: Apache-2.0
// The memory itself: a sealed memfd, mapped, with the header of include/ivpci/shm_abi.h in it.
#ifndef SMC_STEER_BROKER_REGION_H
#define SMC_STEER_BROKER_REGION_H

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "broker/identity.h"
#include "broker/shared.h"

namespace smc_steer::broker {

// Writes the header of an empty region (all slots EMPTY, all chunks free), the magic last. The
// memory must be zero. `pid` is what people see as broker_pid.
void init_header(const RegionView& view, const Uuid& uuid, uint32_t pid);

class Region {
public:
    // A fresh region with a random UUID. Nobody can shrink or grow its memfd: a guest's QEMU that
    // truncated it would kill everybody else with SIGBUS.
    static Result<Region> create(const ivpci_layout& layout);

    Region(Region&& other) noexcept;
    Region& operator=(Region&&) = delete;
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    ~Region();

    [[nodiscard]] const RegionView& view() const { return view_; }
    [[nodiscard]] int fd() const { return fd_.get(); }

private:
    Region(UniqueFd fd, RegionView view) : fd_(std::move(fd)), view_(view) {}
    UniqueFd fd_;
    RegionView view_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_REGION_H
