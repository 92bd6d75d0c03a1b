// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/struct_ops.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace smc_steer {
namespace {

// struct bpf_struct_ops_common_value in include/linux/bpf.h, which every struct_ops value
// starts with: a reference count, then the state.
struct CommonValue {
    std::uint32_t refcnt;
    std::uint32_t state;
};
constexpr std::uint32_t kStateInUse = 1;  // BPF_STRUCT_OPS_STATE_INUSE

bool in_use(int map, std::uint32_t value_size) {
    std::vector<char> value(std::max<std::size_t>(value_size, sizeof(CommonValue)));
    std::uint32_t zero = 0;
    if (bpf_map_lookup_elem(map, &zero, value.data()) != 0) {
        return false;
    }
    CommonValue common;
    std::memcpy(&common, value.data(), sizeof(common));
    return common.state == kStateInUse;
}

}  // namespace

bool is_handshake_name(const std::string& name) {
    return name == kHandshakeNames[0] || name == kHandshakeNames[1];
}

Result<std::vector<Registration>> list_registrations() {
    std::vector<Registration> found;
    std::uint32_t id = 0;
    for (;;) {
        if (bpf_map_get_next_id(id, &id) != 0) {
            if (errno == ENOENT) {
                return found;
            }
            return fail_errno(errno, "cannot list BPF maps");
        }
        UniqueFd map(bpf_map_get_fd_by_id(id));
        if (!map) {
            continue;  // gone meanwhile
        }
        bpf_map_info info{};
        std::uint32_t length = sizeof(info);
        if (bpf_map_get_info_by_fd(map.get(), &info, &length) != 0) {
            continue;
        }
        if (info.type != BPF_MAP_TYPE_STRUCT_OPS || !is_handshake_name(info.name)) {
            continue;
        }
        if (!in_use(map.get(), info.value_size)) {
            continue;
        }
        found.push_back({info.name, id, std::move(map)});
    }
}

Result<void> unregister(const Registration& registration) {
    std::uint32_t zero = 0;
    if (bpf_map_delete_elem(registration.map.get(), &zero) != 0 && errno != ENOENT &&
        errno != EINPROGRESS) {
        return fail_errno(errno, "cannot unregister the old {} (BPF map id {})", registration.name,
                          registration.map_id);
    }
    return {};
}

NameChoice choose_handshake_name(const std::vector<std::string>& existing) {
    for (const char* name : kHandshakeNames) {
        if (std::find(existing.begin(), existing.end(), name) == existing.end()) {
            return {name, false};
        }
    }
    return {kHandshakeNames[1], true};
}

}  // namespace smc_steer
