// SPDX-License-Identifier: Apache-2.0
// bpf/adopt.bpf.c on the devices of network namespaces.
#ifndef SMC_STEER_AGENT_KERNEL_ADOPTION_H
#define SMC_STEER_AGENT_KERNEL_ADOPTION_H

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "agent/base/unique_fd.h"
#include "agent/kernel/address.h"
#include "agent/kernel/bpf_object.h"
#include "agent/kernel/netns.h"

namespace smc_steer {

// Attached by links, which go with the agent, where the kernel has them for tc (>= 6.6). Older ones
// get a filter at a clsact qdisc (tc_filter.h), which a killed agent leaves: it does nothing
// without the agent's lease and its listener, and the next agent puts its own in its place.
class Adoption {
public:
    static Result<std::unique_ptr<Adoption>> load(SharedMaps& maps);
    // Takes filters away, and their qdiscs where nobody else uses them.
    ~Adoption();
    Adoption(const Adoption&) = delete;
    Adoption& operator=(const Adoption&) = delete;

    // Where SYNs for the agent's listener on `port` may come to.
    struct Namespace {
        int fd = -1;  // an open file of it
        std::set<Address> addresses;
    };
    // All devices of these namespaces, and no others. Fails with the first problem, having done the
    // rest.
    Result<void> refresh(const std::map<NetnsId, Namespace>& namespaces, std::uint16_t port);

    std::size_t devices() const { return attached_.size(); }

private:
    using DeviceKey = std::pair<NetnsId, int>;  // and its index
    struct Attached {
        UniqueFd link;       // not valid: a filter
        bool qdisc = false;  // whose qdisc is ours, too
        UniqueFd netns;
    };

    explicit Adoption(BpfObject object) : object_(std::move(object)) {}
    Result<void> attach(const DeviceKey& key, int netns);
    static void detach(const DeviceKey& key, const Attached& attached);
    Result<void> set_addresses(const std::map<NetnsId, Namespace>& namespaces, std::uint16_t port);

    BpfObject object_;
    int program_ = -1;
    int adopting_ = -1;
    std::map<DeviceKey, Attached> attached_;
    std::set<std::pair<ino_t, Address>> addresses_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_ADOPTION_H
