// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/stores.h"

#include <bpf/bpf.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/kernel/self.h"

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

Result<UniqueFd> new_map(bpf_map_type type, const char* name, std::size_t key, std::size_t value,
                         std::size_t entries, std::uint32_t flags) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
    UniqueFd fd(bpf_map_create(
        type, name, static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(value),
        static_cast<std::uint32_t>(std::max<std::size_t>(entries, 1)), &options));
    if (!fd) {
        return fail_errno(errno, "cannot make map {} for {} entries", name, entries);
    }
    return fd;
}

// A new map with `pairs` in it and room for `entries`.
template <typename Key, typename Value>
Result<UniqueFd> filled_map(bpf_map_type type, const char* name,
                            const std::vector<std::pair<Key, Value>>& pairs, std::size_t entries,
                            std::uint32_t flags) {
    auto map = new_map(type, name, sizeof(Key), sizeof(Value), entries, flags);
    if (!map || pairs.empty()) {
        return map;
    }
    std::vector<Key> keys;
    std::vector<Value> values;
    for (const auto& [key, value] : pairs) {
        keys.push_back(key);
        values.push_back(value);
    }
    auto count = static_cast<std::uint32_t>(pairs.size());
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    if (bpf_map_update_batch(map->get(), keys.data(), values.data(), &count, &options) != 0) {
        return fail_errno(errno, "cannot fill map {}", name);
    }
    return map;
}

// The kernel returns when no program uses what was in its place.
Result<void> put_map(int outer, std::uint32_t slot, int inner) {
    if (bpf_map_update_elem(outer, &slot, &inner, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot put a map in its place");
    }
    return {};
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
        case STEER_SYN_SHORT:
            return "syn_short";
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
        case STEER_GUARD_KEPT:
            return "guard_kept";
        case STEER_GUARD_TAKEN_OFF:
            return "guard_taken_off";
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
        {&stores.policy_peers_, "policy_peers", 4, 4},
        {&stores.policy_subjects_, "policy_subjects", 4, 4},
        {&stores.policy_scopes_, "policy_scopes", 4, 4},
        {&stores.policy_spans_, "policy_spans", 4, 4},
        {&stores.same_host_, "same_host", sizeof(steer_address), sizeof(steer_peer)},
        {&stores.workloads_, "workloads", 8, 1},
        {&stores.counters_, "counters", 4, 8},
        {&stores.connections_, "connections", 4, sizeof(steer_connection)},
        {&stores.endpoints_, "endpoints", sizeof(steer_endpoint), sizeof(steer_lengths)},
    };
    for (const auto& w : wanted) {
        auto fd = find(maps, w.name, w.key_size, w.value_size);
        if (!fd) {
            return tl::unexpected(fd.error());
        }
        *w.fd = *fd;
    }
    auto tgid = tgid_in_kernel();
    if (!tgid) {
        return tl::unexpected(tgid.error());
    }
    stores.now_.agent_tgid = *tgid;
    // Made before it is needed: what comes after the rules are in force must not be able to fail.
    auto nothing = new_map(BPF_MAP_TYPE_ARRAY, "policy_none", sizeof(std::uint32_t),
                           sizeof(steer_policy), 1, 0);
    if (!nothing) {
        return tl::unexpected(nothing.error());
    }
    stores.nothing_ = std::move(*nothing);
    return stores;
}

Result<void> Stores::write_control() {
    if (bpf_map_update_elem(control_, &kZero, &now_, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot write the control map");
    }
    return {};
}

Result<void> Stores::set_lease(std::uint64_t until_ns, std::uint16_t link_port) {
    now_.lease_until_ns = until_ns;
    now_.link_port = link_port;
    if (auto done = write_control(); !done) {
        return forward_error(std::move(done), "the lease");
    }
    return {};
}

Result<void> Stores::fill_slot(std::uint32_t slot, const PolicyTables& tables,
                               const Subjects& subjects) {
    std::vector<std::pair<steer_subject, steer_chain>> members(subjects.begin(), subjects.end());
    std::vector<std::pair<std::uint32_t, steer_span>> spans;
    spans.reserve(tables.spans.size());
    for (const auto& span : tables.spans) {
        spans.emplace_back(static_cast<std::uint32_t>(spans.size()), span);
    }

    auto ports = new_map(BPF_MAP_TYPE_ARRAY, "policy_ports", sizeof(std::uint32_t),
                         sizeof(steer_policy), 1, 0);
    if (ports && bpf_map_update_elem(ports->get(), &kZero, tables.ports.get(), BPF_ANY) != 0) {
        return fail_errno(errno, "cannot fill the table of ports");
    }
    auto peers = filled_map(BPF_MAP_TYPE_LPM_TRIE, "policy_peers", tables.peers,
                            tables.peers.size(), BPF_F_NO_PREALLOC);
    auto who = filled_map(BPF_MAP_TYPE_HASH, "policy_subjects", members, STEER_SUBJECTS_MAX,
                          BPF_F_NO_PREALLOC);
    auto scopes = filled_map(BPF_MAP_TYPE_HASH, "policy_scopes", tables.scopes,
                             tables.scopes.size(), BPF_F_NO_PREALLOC);
    auto of_spans =
        filled_map(BPF_MAP_TYPE_ARRAY, "policy_spans", spans, spans.size(), BPF_F_INNER_MAP);
    struct Place {
        int outer;
        Result<UniqueFd>* inner;
    };
    for (auto& place :
         {Place{policy_, &ports}, Place{policy_peers_, &peers}, Place{policy_subjects_, &who},
          Place{policy_scopes_, &scopes}, Place{policy_spans_, &of_spans}}) {
        if (!*place.inner) {
            return tl::unexpected(place.inner->error());
        }
        if (auto done = put_map(place.outer, slot, (*place.inner)->get()); !done) {
            return done;
        }
    }
    subjects_ = std::move(*who);
    members_ = subjects;
    return {};
}

Result<void> Stores::set_policy(const PolicyTables& tables, const Subjects& subjects) {
    auto kept = std::exchange(subjects_, {});
    auto kept_members = std::exchange(members_, {});
    std::uint32_t former = now_.policy_slot;
    std::uint32_t next = former == 1 ? 2 : 1;
    auto done = fill_slot(next, tables, subjects);
    if (done) {
        now_.policy_slot = next;
        done = write_control();
    }
    if (!done) {
        now_.policy_slot = former;
        subjects_ = std::move(kept);
        members_ = std::move(kept_members);
        return forward_error(std::move(done), "the new rules");
    }
    // Programs that read the word before it changed still use the former slot. Replacing any
    // entry of a map of maps waits for them; slot 0 is nobody's.
    if (auto waited = put_map(policy_, 0, nothing_.get()); !waited) {
        spdlog::warn("the former rules may count for a moment more: {}", waited.error().message);
    }
    return {};
}

Result<void> Stores::set_subjects(const Subjects& subjects) {
    for (const auto& [subject, chain] : subjects) {
        auto known = members_.find(subject);
        if (known != members_.end() && std::memcmp(&known->second, &chain, sizeof(chain)) == 0) {
            continue;
        }
        if (bpf_map_update_elem(subjects_.get(), &subject, &chain, BPF_ANY) != 0) {
            return fail_errno(errno, "cannot add a member to a rule's workload");
        }
        members_[subject] = chain;
    }
    for (auto it = members_.begin(); it != members_.end();) {
        if (subjects.contains(it->first)) {
            ++it;
            continue;
        }
        if (bpf_map_delete_elem(subjects_.get(), &it->first) != 0 && errno != ENOENT) {
            return fail_errno(errno, "cannot remove a member from a rule's workload");
        }
        it = members_.erase(it);
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

Result<void> Stores::set_workload(std::uint64_t cgroup_id, steer_workload what) {
    auto value = static_cast<std::uint8_t>(what);
    if (bpf_map_update_elem(workloads_, &cgroup_id, &value, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot add cgroup {} to the workloads", cgroup_id);
    }
    return {};
}

Result<void> Stores::remove_workload(std::uint64_t cgroup_id) {
    if (bpf_map_delete_elem(workloads_, &cgroup_id) != 0 && errno != ENOENT) {
        return fail_errno(errno, "cannot remove cgroup {} from the workloads", cgroup_id);
    }
    return {};
}

Result<void> Stores::set_short(std::uint64_t bytes, std::uint64_t nanoseconds) {
    now_.short_bytes = bytes;
    now_.short_ns = nanoseconds;
    return write_control();
}

std::vector<Stores::Endpoint> Stores::endpoints() const {
    std::vector<Endpoint> all;
    steer_endpoint key{}, next{};
    // A key that is gone when we ask for the next one starts the walk again: bounded.
    for (std::size_t i = 0; i < STEER_ENDPOINTS_MAX; i++) {
        if (bpf_map_get_next_key(endpoints_, i ? &key : nullptr, &next) != 0) {
            break;
        }
        key = next;
        Endpoint endpoint{Address::from_bytes(key.address.in6), key.port, {}};
        if (bpf_map_lookup_elem(endpoints_, &key, &endpoint.lengths) == 0) {
            all.push_back(endpoint);
        }
    }
    return all;
}

std::optional<steer_lengths> Stores::lengths(const Address& address, std::uint16_t port) const {
    steer_endpoint key{};
    std::memcpy(key.address.in6, address.in6.data(), sizeof(key.address.in6));
    key.port = port;
    steer_lengths lengths{};
    if (bpf_map_lookup_elem(endpoints_, &key, &lengths) != 0) {
        return std::nullopt;
    }
    return lengths;
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
