// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/tc_filter.h"

#include <bpf/libbpf.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "agent/kernel/netlink.h"

namespace smc_steer {
namespace {

// Of our filter among others.
constexpr std::uint32_t kHandle = 0x5354;
constexpr std::uint32_t kPriority = 0x5354;

bpf_tc_hook hook_of(int device, bpf_tc_attach_point point = BPF_TC_INGRESS) {
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = device;
    hook.attach_point = point;
    return hook;
}

bpf_tc_opts filter() {
    bpf_tc_opts options{};
    options.sz = sizeof(options);
    options.handle = kHandle;
    options.priority = kPriority;
    return options;
}

bool has_ours(int device) {
    auto hook = hook_of(device);
    auto options = filter();
    return bpf_tc_query(&hook, &options) == 0;
}

// Of a clsact qdisc; what cannot be told counts as somebody's.
bool has_filters(NetlinkSocket& netlink, int device, std::uint32_t direction) {
    NetlinkRequest request(RTM_GETTFILTER, NLM_F_DUMP);
    auto& message = request.extra<tcmsg>();
    message.tcm_family = AF_UNSPEC;
    message.tcm_ifindex = device;
    message.tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction);
    bool any = false;
    auto answer = netlink.talk(*request.header, [&](const nlmsghdr& each) {
        any = any || each.nlmsg_type == RTM_NEWTFILTER;
    });
    return any || !answer || *answer != 0;
}

void remove_qdisc(int device) {
    auto netlink = NetlinkSocket::open(NETLINK_ROUTE);
    if (!netlink || has_filters(*netlink, device, TC_H_MIN_INGRESS) ||
        has_filters(*netlink, device, TC_H_MIN_EGRESS)) {
        return;
    }
    auto hook = hook_of(device, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
    bpf_tc_hook_destroy(&hook);
}

}  // namespace

std::vector<int> devices_here() {
    std::vector<int> all;
    auto* list = if_nameindex();
    for (auto* each = list; each && each->if_index != 0; each++) {
        if (std::strcmp(each->if_name, "lo") != 0) {
            all.push_back(static_cast<int>(each->if_index));
        }
    }
    if_freenameindex(list);
    return all;
}

Result<bool> add_filter(int device, int program) {
    auto hook = hook_of(device);
    int error = bpf_tc_hook_create(&hook);
    if (error != 0 && error != -EEXIST) {
        return fail_errno(-error, "cannot make a clsact qdisc on device {}", device);
    }
    const bool ours = error == 0 || has_ours(device);
    auto options = filter();
    options.prog_fd = program;
    options.flags = BPF_TC_F_REPLACE;
    error = bpf_tc_attach(&hook, &options);
    if (error != 0) {
        if (ours) {
            remove_qdisc(device);
        }
        return fail_errno(-error, "cannot add a filter to device {}", device);
    }
    return ours;
}

// Nobody is left to be told what does not work, and a device that is gone has neither.
void remove_filter(int device, bool qdisc) {
    auto hook = hook_of(device);
    auto options = filter();
    bpf_tc_detach(&hook, &options);
    if (qdisc) {
        remove_qdisc(device);
    }
}

std::size_t sweep_filters() {
    std::size_t count = 0;
    for (int device : devices_here()) {
        if (has_ours(device)) {
            remove_filter(device, true);
            count++;
        }
    }
    return count;
}

}  // namespace smc_steer
