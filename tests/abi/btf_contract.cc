// SPDX-License-Identifier: Apache-2.0
// include/smc_steer as the BPF compiler laid it out (BTF and map definitions of the built
// objects) against the C++ compiler's idea of the same headers.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>
#include <smc_steer/services_abi.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "flows.skel.h"
#include "handshake.skel.h"
#include "moved.skel.h"
#include "services.skel.h"
#include "steer.skel.h"

namespace {

struct Field {
    const char* name;
    std::size_t offset;
    std::size_t size;

    bool operator==(const Field& other) const {
        return std::string(name) == other.name && offset == other.offset && size == other.size;
    }
};

void PrintTo(const Field& field, std::ostream* out) {
    *out << field.name << " at " << field.offset << ", " << field.size << " bytes";
}

#define FIELD(type, member) \
    Field { #member, offsetof(type, member), sizeof(type::member) }

struct Close {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, Close>;

template <typename Elf>
Object open_embedded(Elf elf) {
    std::size_t size = 0;
    const void* bytes = elf(&size);
    return Object(bpf_object__open_mem(bytes, size, nullptr));
}

std::map<std::string, Object> all_objects() {
    std::map<std::string, Object> all;
    all["steer"] = open_embedded(steer::elf_bytes);
    all["handshake"] = open_embedded(handshake::elf_bytes);
    all["flows"] = open_embedded(flows::elf_bytes);
    all["moved"] = open_embedded(moved::elf_bytes);
    all["services"] = open_embedded(services::elf_bytes);
    return all;
}

std::vector<Field> fields_of(const btf* btf, const btf_type* type) {
    std::vector<Field> fields;
    for (unsigned i = 0; i < btf_vlen(type); i++) {
        const btf_member& member = btf_members(type)[i];
        fields.push_back({btf__name_by_offset(btf, member.name_off),
                          btf_member_bit_offset(type, i) / 8,
                          static_cast<std::size_t>(btf__resolve_size(btf, member.type))});
    }
    return fields;
}

// In how many objects `name` was found and compared.
int compare(const char* name, std::size_t size, const std::vector<Field>& expected) {
    int found = 0;
    for (const auto& [object_name, object] : all_objects()) {
        SCOPED_TRACE(object_name + ": " + name);
        const btf* btf = bpf_object__btf(object.get());
        int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);
        if (id < 0) {
            continue;
        }
        found++;
        const btf_type* type = btf__type_by_id(btf, id);
        EXPECT_EQ(type->size, size);
        EXPECT_EQ(fields_of(btf, type), expected);
    }
    return found;
}

struct MapShape {
    bpf_map_type type;
    unsigned key, value, entries;
};

// In how many objects map `name` was found and compared.
int compare_map(const char* name, const MapShape& expected) {
    int found = 0;
    for (const auto& [object_name, object] : all_objects()) {
        SCOPED_TRACE(object_name + ": map " + name);
        bpf_map* map = bpf_object__find_map_by_name(object.get(), name);
        if (!map) {
            continue;
        }
        found++;
        EXPECT_EQ(bpf_map__type(map), expected.type);
        EXPECT_EQ(bpf_map__key_size(map), expected.key);
        EXPECT_EQ(bpf_map__value_size(map), expected.value);
        EXPECT_EQ(bpf_map__max_entries(map), expected.entries);
    }
    return found;
}

TEST(BpfContract, Objects) {
    for (const auto& [name, object] : all_objects()) {
        EXPECT_NE(object, nullptr) << name;
    }
}

TEST(BpfContract, Structures) {
    EXPECT_EQ(compare("steer_control", sizeof(steer_control),
                      {FIELD(steer_control, lease_until_ns), FIELD(steer_control, agent_tgid),
                       FIELD(steer_control, link_port), FIELD(steer_control, policy_slot),
                       FIELD(steer_control, reserved), FIELD(steer_control, short_bytes),
                       FIELD(steer_control, short_ns)}),
              4);
    EXPECT_EQ(compare("steer_address", sizeof(steer_address), {FIELD(steer_address, in6)}), 3);
    EXPECT_EQ(compare("steer_peer", sizeof(steer_peer),
                      {FIELD(steer_peer, slot), FIELD(steer_peer, generation),
                       FIELD(steer_peer, link_port), FIELD(steer_peer, linked)}),
              3);
    EXPECT_EQ(compare("steer_guard", sizeof(steer_guard),
                      {FIELD(steer_guard, covered), FIELD(steer_guard, netns),
                       FIELD(steer_guard, reserved)}),
              3);
    EXPECT_EQ(compare("steer_offer", sizeof(steer_offer),
                      {FIELD(steer_offer, slot), FIELD(steer_offer, used), FIELD(steer_offer, id)}),
              3);
}

TEST(BpfContract, Maps) {
    EXPECT_EQ(compare_map("control", {BPF_MAP_TYPE_ARRAY, 4, sizeof(steer_control), 1}), 4);
    EXPECT_EQ(compare_map("connections", {BPF_MAP_TYPE_SK_STORAGE, 4, sizeof(steer_connection), 0}),
              1);
    EXPECT_EQ(compare_map("endpoints", {BPF_MAP_TYPE_LRU_HASH, sizeof(steer_endpoint),
                                        sizeof(steer_lengths), STEER_ENDPOINTS_MAX}),
              2);
    EXPECT_EQ(compare_map("moved", {BPF_MAP_TYPE_LRU_HASH, 8, 8, STEER_MOVED_MAX}), 2);
    EXPECT_EQ(compare_map("monitor", {BPF_MAP_TYPE_ARRAY, 4, sizeof(steer_monitor), 1}), 1);
    EXPECT_EQ(compare_map("decisions", {BPF_MAP_TYPE_RINGBUF, 0, 0, STEER_DECISIONS_BYTES}), 1);
    EXPECT_EQ(compare_map("counters", {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, STEER_COUNTERS}), 4);
    EXPECT_EQ(compare_map("same_host", {BPF_MAP_TYPE_HASH, sizeof(steer_address),
                                        sizeof(steer_peer), STEER_SAME_HOST_MAX}),
              3);
    EXPECT_EQ(compare_map("services",
                          {BPF_MAP_TYPE_LPM_TRIE, sizeof(steer_prefix), 1, STEER_SERVICES_MAX}),
              3);
    EXPECT_EQ(compare_map("guard", {BPF_MAP_TYPE_ARRAY, 4, sizeof(steer_guard), 1}), 3);
    EXPECT_EQ(compare_map("opened", {BPF_MAP_TYPE_ARRAY, 4, 8, 1}), 3);
    EXPECT_EQ(
        compare_map("offers", {BPF_MAP_TYPE_LRU_HASH, 4, sizeof(steer_offer), STEER_OFFERS_MAX}),
        3);
    EXPECT_EQ(compare_map("workloads", {BPF_MAP_TYPE_HASH, 8, 1, STEER_WORKLOADS_MAX}), 1);
    for (const char* name :
         {"policy", "policy_peers", "policy_subjects", "policy_scopes", "policy_spans"}) {
        EXPECT_EQ(compare_map(name, {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, STEER_POLICY_SLOTS}), 3);
    }
}

// clang leaves the structures that are named only here out of the BTF: nothing but the inner
// maps' sizes says them.
TEST(BpfContract, PolicyTables) {
    auto object = open_embedded(handshake::elf_bytes);
    struct Inner {
        const char* outer;
        MapShape shape;
    };
    for (const auto& [outer, shape] : {
             Inner{"policy", {BPF_MAP_TYPE_ARRAY, 4, sizeof(steer_policy), 1}},
             Inner{"policy_peers",
                   {BPF_MAP_TYPE_LPM_TRIE, sizeof(steer_prefix), sizeof(steer_chain),
                    STEER_SUBJECTS_MAX}},
             Inner{"policy_subjects",
                   {BPF_MAP_TYPE_HASH, sizeof(steer_subject), sizeof(steer_chain),
                    STEER_SUBJECTS_MAX}},
             Inner{"policy_scopes",
                   {BPF_MAP_TYPE_HASH, sizeof(steer_scope), sizeof(steer_spans), STEER_SPANS_MAX}},
             Inner{"policy_spans", {BPF_MAP_TYPE_ARRAY, 4, sizeof(steer_span), 1}},
         }) {
        SCOPED_TRACE(outer);
        bpf_map* inner = bpf_map__inner_map(bpf_object__find_map_by_name(object.get(), outer));
        ASSERT_NE(inner, nullptr);
        EXPECT_EQ(bpf_map__type(inner), shape.type);
        EXPECT_EQ(bpf_map__key_size(inner), shape.key);
        EXPECT_EQ(bpf_map__value_size(inner), shape.value);
        EXPECT_EQ(bpf_map__max_entries(inner), shape.entries);
    }
}

// What the agent registers and switches between by name.
TEST(BpfContract, HandshakeRegistrations) {
    auto object = open_embedded(handshake::elf_bytes);
    for (const char* name : {"smc_steer_a", "smc_steer_b"}) {
        bpf_map* map = bpf_object__find_map_by_name(object.get(), name);
        ASSERT_NE(map, nullptr) << name;
        EXPECT_EQ(bpf_map__type(map), BPF_MAP_TYPE_STRUCT_OPS) << name;
    }
}

}  // namespace
