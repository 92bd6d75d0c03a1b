// SPDX-License-Identifier: Apache-2.0
// The BPF maps on bpffs: /sys/fs/bpf/smc-steer/abi-N/NAME, N being STEER_ABI_VERSION. They are
// there for people who look, and for the next agent, which goes on counting where this one
// stopped, be it upgraded or killed.
#ifndef SMC_STEER_AGENT_KERNEL_PINS_H
#define SMC_STEER_AGENT_KERNEL_PINS_H

#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/kernel/bpf_object.h"

namespace smc_steer {

class Pins {
public:
    explicit Pins(std::string directory = "/sys/fs/bpf/smc-steer")
        : directory_(std::move(directory)) {}

    // The version of what is pinned; 0: nothing is. The highest, should there be several.
    Result<int> version() const;
    // Fails, with both numbers, for a version newer than `known`.
    Result<void> check_version(int known) const;

    // Of that version; none: it is not pinned.
    UniqueFd open(int version, const std::string& map) const;

    // Each map in the place of a former one of its name; then other versions are removed.
    // Fails where bpffs is not mounted.
    Result<void> pin(int version, const SharedMaps& maps) const;
    // All versions. Fine if there are none.
    void remove() const;

    const std::string& directory() const { return directory_; }

private:
    std::string directory_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_PINS_H
