// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/stores.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "agent/base/unique_fd.h"

namespace smc_steer {
namespace {

constexpr std::uint32_t kZero = 0;

Result<int> find(const SharedMaps& maps, const char* name, std::uint32_t key_size,
                 std::uint32_t value_size) {
    auto entry = maps.find(name);
    if (entry == maps.end()) {
        return fail("no BPF object has a map named {}", name);
    }
    bpf_map_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_map_get_info_by_fd(entry->second, &info, &length) != 0) {
        return fail_errno(errno, "BPF map {}: no information", name);
    }
    if (info.key_size != key_size || info.value_size != value_size) {
        return fail("BPF map {}: key and value have {} and {} bytes, not {} and {}", name,
                    info.key_size, info.value_size, key_size, value_size);
    }
    return entry->second;
}

// The process id as the initial pid namespace has it, if /proc is that namespace's; the
// first of "NSpid:" is the one of the namespace /proc belongs to.
std::uint32_t tgid_for_bpf() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        unsigned pid = 0;
        if (std::sscanf(line.c_str(), "NSpid: %u", &pid) == 1) {
            return pid;
        }
    }
    return static_cast<std::uint32_t>(getpid());
}

}  // namespace

std::string_view counter_name(steer_counter counter) {
    switch (counter) {
        case STEER_SOCKETS_STEERED:
            return "sockets_steered";
        case STEER_SYN_OFFERED:
            return "syn_offered";
        case STEER_SYN_NOT_SAME_HOST:
            return "syn_not_same_host";
        case STEER_SYN_DENIED:
            return "syn_denied";
        case STEER_SYN_NO_AGENT:
            return "syn_no_agent";
        case STEER_SYNACK_AGREED:
            return "synack_agreed";
        case STEER_SYNACK_NOT_SAME_HOST:
            return "synack_not_same_host";
        case STEER_SYNACK_DENIED:
            return "synack_denied";
        case STEER_SYNACK_NO_AGENT:
            return "synack_no_agent";
        case STEER_ESTABLISHED_SMC:
            return "established_smc";
        case STEER_ESTABLISHED_TCP:
            return "established_tcp";
        case STEER_CLOSED_SMC:
            return "closed_smc";
        case STEER_CLOSED_TCP:
            return "closed_tcp";
        case STEER_ESTABLISHED_OTHER:
            return "established_other";
        case STEER_CLOSED_OTHER:
            return "closed_other";
        case STEER_COUNTERS:
            break;
    }
    return "unknown";
}

Result<Stores> Stores::open(const SharedMaps& maps) {
    Stores stores;
    struct Wanted {
        int* fd;
        const char* name;
        std::uint32_t key_size;
        std::uint32_t value_size;
    };
    const Wanted wanted[] = {
        {&stores.control_, "control", 4, sizeof(steer_control)},
        {&stores.policy_, "policy", 4, 4},
        {&stores.same_host_, "same_host", sizeof(steer_address), sizeof(steer_peer)},
        {&stores.workloads_, "workloads", 8, 1},
        {&stores.counters_, "counters", 4, 8},
    };
    for (const auto& w : wanted) {
        auto fd = find(maps, w.name, w.key_size, w.value_size);
        if (!fd) {
            return tl::unexpected(fd.error());
        }
        *w.fd = *fd;
    }
    return stores;
}

Result<void> Stores::set_lease(std::uint64_t until_ns, std::uint16_t link_port) {
    steer_control control{};
    control.lease_until_ns = until_ns;
    control.agent_tgid = tgid_for_bpf();
    control.link_port = link_port;
    if (bpf_map_update_elem(control_, &kZero, &control, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot move the lease on");
    }
    return {};
}

Result<void> Stores::set_policy(const steer_policy& policy) {
    UniqueFd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "policy_table", sizeof(std::uint32_t),
                                  sizeof(steer_policy), 1, nullptr));
    if (!inner) {
        return fail_errno(errno, "cannot make a policy table");
    }
    if (bpf_map_update_elem(inner.get(), &kZero, &policy, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot fill the policy table");
    }
    int fd = inner.get();
    if (bpf_map_update_elem(policy_, &kZero, &fd, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot put the policy table in force");
    }
    return {};
}

Result<void> Stores::add_same_host(const Address& address, steer_peer peer) {
    steer_address key;
    std::memcpy(key.in6, address.in6.data(), sizeof(key.in6));
    if (bpf_map_update_elem(same_host_, &key, &peer, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot add {} to the same-host map", to_string(address));
    }
    return {};
}

Result<void> Stores::remove_same_host(const Address& address) {
    steer_address key;
    std::memcpy(key.in6, address.in6.data(), sizeof(key.in6));
    if (bpf_map_delete_elem(same_host_, &key) != 0 && errno != ENOENT) {
        return fail_errno(errno, "cannot remove {} from the same-host map", to_string(address));
    }
    return {};
}

Result<void> Stores::add_workload(std::uint64_t cgroup_id) {
    std::uint8_t one = 1;
    if (bpf_map_update_elem(workloads_, &cgroup_id, &one, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot add cgroup {} to the workloads", cgroup_id);
    }
    return {};
}

Result<Counters> Stores::counters() const {
    int cpus = libbpf_num_possible_cpus();
    if (cpus < 0) {
        return fail_errno(-cpus, "cannot count the CPUs");
    }
    Counters sums{};
    std::vector<std::uint64_t> values(cpus);
    for (std::uint32_t i = 0; i < STEER_COUNTERS; i++) {
        if (bpf_map_lookup_elem(counters_, &i, values.data()) != 0) {
            return fail_errno(errno, "cannot read counter {}",
                              counter_name(static_cast<steer_counter>(i)));
        }
        for (auto value : values) {
            sums[i] += value;
        }
    }
    return sums;
}

}  // namespace smc_steer
