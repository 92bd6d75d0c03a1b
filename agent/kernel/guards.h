// SPDX-License-Identifier: Apache-2.0
// The guard of services (bpf/services.bpf.c) on every device of the agent's network namespace.
#ifndef SMC_STEER_AGENT_KERNEL_GUARDS_H
#define SMC_STEER_AGENT_KERNEL_GUARDS_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/kernel/bpf_object.h"
#include "agent/kernel/netlink.h"
#include "agent/policy/cidr.h"

namespace smc_steer {

// Guards come before offers and go after them: the links are pinned, so that those of a killed
// agent watch what its handshake still offers until the lease is over. The next agent takes them
// over; Pins::remove() ends them, and Guards' destructor does.
class Guards {
public:
    // Loads `object` (bpf/services.bpf.c) and fills in the ranges; nothing is offered before
    // refresh(). `directory` is on bpffs.
    static Result<Guards> open(BpfObject object, SharedMaps& maps,
                               const std::vector<Cidr>& services, std::string directory);
    ~Guards();
    Guards(Guards&& other) noexcept = default;
    Guards& operator=(Guards&&) = delete;

    // Readable when devices have come or changed: call refresh() then.
    int fd() const { return news_.fd(); }
    void drain() { news_.drain(); }

    // Puts the guard on devices that lack it. Only if all have it, services are offered SMC from
    // now on.
    Result<void> refresh();
    // No more offers: an agent that will not be there to see new devices.
    Result<void> stop_offers();

    std::size_t devices() const { return links_.size(); }
    // Are offers made just now?
    bool offers() const;
    std::vector<bpf_program*> programs() const { return object_.programs(); }

private:
    struct Device {
        std::uint32_t index = 0;
        std::string name;
    };
    Guards(BpfObject object, NetlinkSocket news, NetlinkSocket ask, std::string directory)
        : object_(std::move(object)),
          news_(std::move(news)),
          ask_(std::move(ask)),
          directory_(std::move(directory)) {}

    Result<void> fill(const SharedMaps& maps, const std::vector<Cidr>& services);
    Result<void> watch_devices();
    Result<std::vector<Device>> list();
    Result<void> put_on(const Device& device);
    std::optional<UniqueFd> take_over(const Device& device);
    std::string pin_of(const std::string& name) const { return directory_ + "/" + name; }
    void drop_strays() const;
    Result<void> set_covered(std::uint64_t covered);

    BpfObject object_;
    NetlinkSocket news_;
    NetlinkSocket ask_;
    std::string directory_;
    int guard_ = -1;
    int devices_opened_ = -1;
    std::uint32_t netns_ = 0;
    std::uint64_t covered_ = 0;
    UniqueFd opened_;
    std::map<std::uint32_t, UniqueFd> links_;  // by device
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_GUARDS_H
