// SPDX-License-Identifier: Apache-2.0
// /dev/ivpciN, see include/ivpci/uapi.h.
#ifndef SMC_STEER_AGENT_PEERS_DEVICE_H
#define SMC_STEER_AGENT_PEERS_DEVICE_H

#include <ivpci/uapi.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/peers/mapping.h"
#include "agent/peers/region.h"

namespace smc_steer {

// Device files by number, lowest first.
std::vector<std::string> list_devices(const std::string& directory = "/dev");

// The path for config's `device`: "auto" is the lowest-numbered one. Fails with what is
// missing and what to do about it.
Result<std::string> find_device(const std::string& wanted);

// Owns the guest's bulletin: the driver lets one process at a time. Destroying it, or dying,
// empties the bulletin.
class Device {
public:
    // EBUSY: another agent has it.
    static Result<Device> open(const std::string& path);
    // `fd` is a predecessor's, and with it the bulletin is.
    static Result<Device> take_over(const std::string& path, UniqueFd fd);

    const std::string& path() const { return path_; }
    // EPOLLPRI: membership or a bulletin changed. EPOLLHUP: the device is gone.
    int fd() const { return fd_.get(); }
    const RegionView& region() const { return view_; }

    Result<ivpci_info> info() const;
    Result<ivpci_stats> stats() const;
    // Writes the bulletin and rings the peers.
    Result<void> publish(const Bulletin& bulletin);

private:
    Device(std::string path, UniqueFd fd, Mapping bulletin, Mapping region, RegionView view)
        : path_(std::move(path)),
          fd_(std::move(fd)),
          bulletin_(std::move(bulletin)),
          region_(std::move(region)),
          view_(view) {}

    std::string path_;
    UniqueFd fd_;
    Mapping bulletin_;
    Mapping region_;
    RegionView view_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_PEERS_DEVICE_H
