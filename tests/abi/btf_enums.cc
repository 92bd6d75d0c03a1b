// SPDX-License-Identifier: Apache-2.0
// The enums of include/smc_steer as the BPF compiler counts them against the C++ compiler's
// values and the names the agent reports them by.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/kernel/stores.h"
#include "contract.skel.h"

namespace {

using Value = std::pair<std::string, unsigned>;
using Values = std::vector<Value>;

class BpfEnums : public testing::Test {
protected:
    void SetUp() override {
        std::size_t size = 0;
        const void* bytes = contract::elf_bytes(&size);
        object_.reset(bpf_object__open_mem(bytes, size, nullptr));
        ASSERT_NE(object_, nullptr);
        btf_ = bpf_object__btf(object_.get());
        ASSERT_NE(btf_, nullptr);
    }

    // In the order they are declared in; empty if there is no such enum of 32 bits.
    Values values_of(const char* name) const {
        Values values;
        int id = btf__find_by_name_kind(btf_, name, BTF_KIND_ENUM);
        if (id < 0) {
            return values;
        }
        const btf_type* type = btf__type_by_id(btf_, static_cast<unsigned>(id));
        EXPECT_EQ(type->size, 4U) << name;
        for (unsigned i = 0; i < btf_vlen(type); i++) {
            const struct btf_enum& value = btf_enum(type)[i];
            values.emplace_back(btf__name_by_offset(btf_, value.name_off),
                                static_cast<unsigned>(value.val));
        }
        return values;
    }

    const btf* btf_ = nullptr;

private:
    struct Close {
        void operator()(bpf_object* object) const { bpf_object__close(object); }
    };
    std::unique_ptr<bpf_object, Close> object_;
};

#define VALUE(name) \
    { #name, name }

TEST_F(BpfEnums, Counters) {
    EXPECT_EQ(sizeof(steer_counter), 4U);
    const Values expected = {
        VALUE(STEER_SOCKETS_STEERED),   VALUE(STEER_SYN_OFFERED),
        VALUE(STEER_SYN_NOT_SAME_HOST), VALUE(STEER_SYN_DENIED),
        VALUE(STEER_SYN_NO_AGENT),      VALUE(STEER_SYN_SHORT),
        VALUE(STEER_SYNACK_AGREED),     VALUE(STEER_SYNACK_NOT_SAME_HOST),
        VALUE(STEER_SYNACK_DENIED),     VALUE(STEER_SYNACK_NO_AGENT),
        VALUE(STEER_ESTABLISHED_SMC),   VALUE(STEER_ESTABLISHED_TCP),
        VALUE(STEER_CLOSED_SMC),        VALUE(STEER_CLOSED_TCP),
        VALUE(STEER_ESTABLISHED_OTHER), VALUE(STEER_CLOSED_OTHER),
        VALUE(STEER_GUARD_KEPT),        VALUE(STEER_GUARD_TAKEN_OFF),
        VALUE(STEER_COUNTERS),
    };
    EXPECT_EQ(values_of("steer_counter"), expected);
}

// BPF adds a decision's number to the first one's: both groups have to be in step, up to what the
// client alone decides.
TEST_F(BpfEnums, DecisionsOfBothEndsAreInStep) {
    Values client;
    Values server;
    for (const auto& [name, value] : values_of("steer_counter")) {
        if (name.rfind("STEER_SYN_", 0) == 0) {
            client.emplace_back(name.substr(sizeof("STEER_SYN_") - 1), value - STEER_SYN_OFFERED);
        } else if (name.rfind("STEER_SYNACK_", 0) == 0) {
            server.emplace_back(name.substr(sizeof("STEER_SYNACK_") - 1),
                                value - STEER_SYNACK_AGREED);
        }
    }
    ASSERT_FALSE(client.empty());
    EXPECT_EQ(client.front().first, "OFFERED");
    ASSERT_FALSE(server.empty());
    EXPECT_EQ(server.front().first, "AGREED");
    client.front().first = server.front().first;
    ASSERT_EQ(client.back().first, "SHORT");
    client.pop_back();
    EXPECT_EQ(client, server);
}

TEST_F(BpfEnums, EachCounterHasItsNameInTheAgent) {
    int counters = 0;
    for (auto [name, value] : values_of("steer_counter")) {
        if (value == STEER_COUNTERS) {
            continue;
        }
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        EXPECT_EQ(
            "steer_" + std::string(smc_steer::counter_name(static_cast<steer_counter>(value))),
            name);
        counters++;
    }
    EXPECT_EQ(counters, STEER_COUNTERS);
}

TEST_F(BpfEnums, Verdicts) {
    const Values expected = {VALUE(STEER_OUT_DENY), VALUE(STEER_OUT_ALLOW), VALUE(STEER_IN_DENY),
                             VALUE(STEER_IN_ALLOW)};
    EXPECT_EQ(values_of("steer_verdict"), expected);
}

TEST_F(BpfEnums, Workloads) {
    const Values expected = {VALUE(STEER_WORKLOAD_STEER), VALUE(STEER_WORKLOAD_LEAVE)};
    EXPECT_EQ(values_of("steer_workload"), expected);
    EXPECT_EQ(STEER_WORKLOAD_STEER, 1);
    EXPECT_EQ(STEER_WORKLOAD_LEAVE, 2);
}

TEST_F(BpfEnums, PolicyTable) {
    int id = btf__find_by_name_kind(btf_, "steer_policy", BTF_KIND_STRUCT);
    ASSERT_GT(id, 0);
    const btf_type* type = btf__type_by_id(btf_, static_cast<unsigned>(id));
    EXPECT_EQ(type->size, sizeof(steer_policy));
    ASSERT_EQ(btf_vlen(type), 3);
    const btf_member& port = btf_members(type)[2];
    EXPECT_STREQ(btf__name_by_offset(btf_, port.name_off), "port");
    EXPECT_EQ(btf_member_bit_offset(type, 2) / 8, offsetof(steer_policy, port));
    EXPECT_EQ(btf__resolve_size(btf_, port.type), static_cast<long>(sizeof(steer_policy::port)));
}

}  // namespace
