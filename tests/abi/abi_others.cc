// SPDX-License-Identifier: Apache-2.0
// The other contracts of include/ as numbers: /dev/ivpciN, QEMU's protocol, BPF's maps.
#include <gtest/gtest.h>
#include <ivpci/uapi.h>
#include <ivshmem/protocol.h>
#include <smc_steer/direct_abi.h>
#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>

#include <cstddef>

namespace {

TEST(DirectAbi, Request) {
    EXPECT_EQ(sizeof(direct_request), 64U);
    EXPECT_EQ(offsetof(direct_request, fd), 0U);
    EXPECT_EQ(offsetof(direct_request, net), 4U);
    EXPECT_EQ(offsetof(direct_request, family), 8U);
    EXPECT_EQ(offsetof(direct_request, local_port), 10U);
    EXPECT_EQ(offsetof(direct_request, remote_port), 12U);
    EXPECT_EQ(offsetof(direct_request, local), 16U);
    EXPECT_EQ(offsetof(direct_request, remote), 32U);
    EXPECT_EQ(offsetof(direct_request, first_sent), 48U);
    EXPECT_EQ(offsetof(direct_request, first_received), 52U);
    EXPECT_EQ(offsetof(direct_request, reason), 56U);
    EXPECT_EQ(offsetof(direct_request, state), 60U);
}

TEST(DirectAbi, Rings) {
    EXPECT_EQ(sizeof(direct_flow), 80U);
    EXPECT_EQ(offsetof(direct_rings, device), 64U);
    EXPECT_EQ(offsetof(direct_rings, slot), 68U);
    EXPECT_EQ(offsetof(direct_rings, generation), 72U);
    EXPECT_EQ(offsetof(direct_rings, size), 76U);
    EXPECT_EQ(offsetof(direct_rings, token), 80U);
    EXPECT_EQ(offsetof(direct_rings, flow), 88U);
    EXPECT_EQ(sizeof(direct_rings), 168U);
}

// A new reason is counted in the room that is left: the ioctl keeps its number, and an agent of
// before its answer.
TEST(DirectAbi, Counters) {
    EXPECT_LE(static_cast<unsigned>(DIRECT_REASONS), static_cast<unsigned>(DIRECT_REASONS_ROOM));
    EXPECT_EQ(offsetof(direct_counters, flow), 88U);
    EXPECT_EQ(offsetof(direct_counters, refused), 168U);
    EXPECT_EQ(sizeof(direct_counters), 424U);
    EXPECT_EQ(DIRECT_NO_PEER, 17);
    EXPECT_EQ(DIRECT_IDENTIFY, 0xc040d701U);
    EXPECT_EQ(DIRECT_COUNTERS, 0x81a8d706U);
    EXPECT_EQ(DIRECT_FLOW, 0xc0a8d70cU);
}

TEST(UapiAbi, Info) {
    EXPECT_EQ(sizeof(ivpci_info), 56U);
    EXPECT_EQ(offsetof(ivpci_info, version), 0U);
    EXPECT_EQ(offsetof(ivpci_info, slot), 4U);
    EXPECT_EQ(offsetof(ivpci_info, slots), 8U);
    EXPECT_EQ(offsetof(ivpci_info, generation), 12U);
    EXPECT_EQ(offsetof(ivpci_info, gid), 16U);
    EXPECT_EQ(offsetof(ivpci_info, size), 24U);
    EXPECT_EQ(offsetof(ivpci_info, uuid), 32U);
    EXPECT_EQ(offsetof(ivpci_info, vectors), 48U);
    EXPECT_EQ(offsetof(ivpci_info, fabric_id), 52U);
}

// Counters: each eight bytes, in this order.
TEST(UapiAbi, Stats) {
    EXPECT_EQ(sizeof(ivpci_stats), 232U);
    EXPECT_EQ(offsetof(ivpci_stats, dmbs), 0U);
    EXPECT_EQ(offsetof(ivpci_stats, dmbs_parked), 8U);
    EXPECT_EQ(offsetof(ivpci_stats, dmb_bytes), 16U);
    EXPECT_EQ(offsetof(ivpci_stats, chunks), 24U);
    EXPECT_EQ(offsetof(ivpci_stats, attachments), 32U);
    EXPECT_EQ(offsetof(ivpci_stats, registered), 40U);
    EXPECT_EQ(offsetof(ivpci_stats, refused_full), 48U);
    EXPECT_EQ(offsetof(ivpci_stats, refused_index), 56U);
    EXPECT_EQ(offsetof(ivpci_stats, refused_peer), 64U);
    EXPECT_EQ(offsetof(ivpci_stats, bytes_sent), 72U);
    EXPECT_EQ(offsetof(ivpci_stats, signals_sent), 80U);
    EXPECT_EQ(offsetof(ivpci_stats, doorbells_sent), 88U);
    EXPECT_EQ(offsetof(ivpci_stats, doorbells_skipped), 96U);
    EXPECT_EQ(offsetof(ivpci_stats, ring_overflows), 104U);
    EXPECT_EQ(offsetof(ivpci_stats, interrupts), 112U);
    EXPECT_EQ(offsetof(ivpci_stats, signals_received), 120U);
    EXPECT_EQ(offsetof(ivpci_stats, full_scans), 128U);
    EXPECT_EQ(offsetof(ivpci_stats, events_sent), 136U);
    EXPECT_EQ(offsetof(ivpci_stats, events_received), 144U);
    EXPECT_EQ(offsetof(ivpci_stats, peers_lost), 152U);
    EXPECT_EQ(offsetof(ivpci_stats, polls), 160U);
    EXPECT_EQ(offsetof(ivpci_stats, poll_hits), 168U);
    EXPECT_EQ(offsetof(ivpci_stats, poll_ns), 176U);
    EXPECT_EQ(offsetof(ivpci_stats, refused_broker), 184U);
    EXPECT_EQ(offsetof(ivpci_stats, refused_memory), 192U);
    EXPECT_EQ(offsetof(ivpci_stats, refused_header), 200U);
    EXPECT_EQ(offsetof(ivpci_stats, header_tampered), 208U);
    EXPECT_EQ(offsetof(ivpci_stats, peers_silent), 216U);
    EXPECT_EQ(offsetof(ivpci_stats, poll_rests), 224U);
}

TEST(UapiAbi, Numbers) {
    EXPECT_EQ(IVPCI_MMAP_BULLETIN, 0U);
    EXPECT_EQ(IVPCI_MMAP_REGION, 0x10000000000U);
    EXPECT_EQ(IVPCI_IOC_INFO, 0x8038b501U);
    EXPECT_EQ(IVPCI_IOC_STATS, 0x80e8b502U);
    EXPECT_EQ(IVPCI_IOC_PUBLISH, 0x0000b503U);
}

// QEMU 7.2, docs/specs/ivshmem-spec: these are not ours to change.
TEST(IvshmemAbi, Numbers) {
    EXPECT_EQ(IVSHMEM_PROTOCOL_VERSION, 0);
    EXPECT_EQ(IVSHMEM_MSG_SHM, -1);
    EXPECT_EQ(IVSHMEM_MSG_SIZE, 8);
    EXPECT_EQ(IVSHMEM_ID_MAX, 65535);
    EXPECT_EQ(IVSHMEM_REG_IVPOSITION, 8);
    EXPECT_EQ(IVSHMEM_REG_DOORBELL, 12);
    EXPECT_EQ(IVSHMEM_PCI_VENDOR, 0x1af4);
    EXPECT_EQ(IVSHMEM_PCI_DEVICE, 0x1110);
}

TEST(PolicyAbi, Maps) {
    EXPECT_EQ(sizeof(steer_control), 40U);
    EXPECT_EQ(offsetof(steer_control, lease_until_ns), 0U);
    EXPECT_EQ(offsetof(steer_control, agent_tgid), 8U);
    EXPECT_EQ(offsetof(steer_control, policy_slot), 16U);
    EXPECT_EQ(offsetof(steer_control, short_bytes), 24U);
    EXPECT_EQ(offsetof(steer_control, short_ns), 32U);
    EXPECT_EQ(sizeof(steer_policy), 65544U);
    EXPECT_EQ(offsetof(steer_policy, default_bits), 4U);
    EXPECT_EQ(offsetof(steer_policy, port), 8U);
    EXPECT_EQ(sizeof(steer_prefix), 20U);
    EXPECT_EQ(offsetof(steer_prefix, in6), 4U);
    EXPECT_EQ(sizeof(steer_subject), 24U);
    EXPECT_EQ(offsetof(steer_subject, number), 8U);
    EXPECT_EQ(offsetof(steer_subject, command), 8U);
    EXPECT_EQ(sizeof(steer_chain), 52U);
    EXPECT_EQ(offsetof(steer_chain, never), 2U);
    EXPECT_EQ(offsetof(steer_chain, id), 4U);
    EXPECT_EQ(sizeof(steer_scope), 8U);
    EXPECT_EQ(offsetof(steer_scope, peer), 4U);
    EXPECT_EQ(sizeof(steer_spans), 8U);
    EXPECT_EQ(offsetof(steer_spans, count), 4U);
    EXPECT_EQ(sizeof(steer_span), 8U);
    EXPECT_EQ(offsetof(steer_span, bits), 4U);
    EXPECT_EQ(sizeof(steer_address), 16U);
    EXPECT_EQ(sizeof(steer_monitor), 16U);
    EXPECT_EQ(offsetof(steer_monitor, lost), 8U);
    EXPECT_EQ(sizeof(steer_decision), 32U);
    EXPECT_EQ(offsetof(steer_decision, peer), 8U);
    EXPECT_EQ(offsetof(steer_decision, server_port), 24U);
    EXPECT_EQ(offsetof(steer_decision, decision), 26U);
    EXPECT_EQ(offsetof(steer_connection, established_ns), 0U);
    EXPECT_EQ(offsetof(steer_connection, ended_ns), 8U);
    EXPECT_EQ(offsetof(steer_connection, counted_as), 16U);
    EXPECT_EQ(sizeof(steer_peer), 16U);
    EXPECT_EQ(offsetof(steer_peer, slot), 0U);
    EXPECT_EQ(offsetof(steer_peer, generation), 4U);
    EXPECT_EQ(STEER_OUT_DENY << STEER_IN, STEER_IN_DENY);
    EXPECT_EQ(STEER_OUT_ALLOW << STEER_IN, STEER_IN_ALLOW);
    EXPECT_EQ(STEER_IPPROTO_SMC, 256);
    EXPECT_EQ(STEER_IPPROTO_MPTCP, 262);
    EXPECT_EQ(STEER_TCPOPT_EXP, 254);
}

TEST(EventsAbi, Counters) {
    EXPECT_EQ(STEER_SOCKETS_STEERED, 0);
    EXPECT_EQ(STEER_SYN_OFFERED, 1);
    EXPECT_EQ(STEER_SYN_NO_AGENT, 4);
    EXPECT_EQ(STEER_SYN_SHORT, 5);
    EXPECT_EQ(STEER_SYNACK_AGREED, 6);
    EXPECT_EQ(STEER_SYNACK_NO_AGENT, 9);
    EXPECT_EQ(STEER_ESTABLISHED_SMC, 10);
    EXPECT_EQ(STEER_CLOSED_OTHER, 15);
    EXPECT_EQ(STEER_GUARD_KEPT, 16);
    EXPECT_EQ(STEER_GUARD_TAKEN_OFF, 17);
    EXPECT_EQ(STEER_COUNTERS, 18);
    EXPECT_EQ(sizeof(steer_connection), 24U);
    EXPECT_EQ(sizeof(steer_endpoint), 24U);
    EXPECT_EQ(offsetof(steer_endpoint, port), 16U);
    EXPECT_EQ(sizeof(steer_lengths), 40U);
    EXPECT_EQ(offsetof(steer_lengths, score), 32U);
}

}  // namespace
