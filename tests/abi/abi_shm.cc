// SPDX-License-Identifier: Apache-2.0
// include/ivpci/shm_abi.h as numbers. A guest's driver and the host's broker may be built years
// apart: a number that changes here changes IVPCI_SHM_VERSION, or is a bug.
#include <gtest/gtest.h>
#include <ivpci/shm_abi.h>

#include <cstddef>
#include <cstring>
#include <tuple>

extern "C" int abi_layout_from_c(ivpci_layout* layout, __u64 size, __u32 slots);

namespace {

#define EXPECT_FIELD(type, field, offset, size)           \
    do {                                                  \
        EXPECT_EQ(offsetof(type, field), offset##U);      \
        EXPECT_EQ(sizeof(((type*)nullptr)->field), size); \
    } while (0)

TEST(ShmAbi, Constants) {
    EXPECT_EQ(IVPCI_SHM_VERSION, 1);
    EXPECT_EQ(IVPCI_BROKER_SLOT, 0);
    EXPECT_EQ(IVPCI_SLOTS_MAX, 63);
    EXPECT_EQ(IVPCI_VECTORS_MAX, 16);
    EXPECT_EQ(IVPCI_VECTOR_CONTROL, 0);
    EXPECT_EQ(IVPCI_DMB_UNIT, 16384U);
    EXPECT_EQ(IVPCI_CHUNK_SIZE, 1048576U);
    EXPECT_EQ(IVPCI_UNITS_PER_CHUNK, 64U);
    EXPECT_EQ(IVPCI_CHUNKS_MAX, 65536U);
    EXPECT_EQ(IVPCI_DMBS, 4096U);
    EXPECT_EQ(IVPCI_RING_SIZE, 1024U);
    EXPECT_EQ(IVPCI_EVENT_RING_SIZE, 16U);
    EXPECT_EQ(IVPCI_BULLETIN_SIZE, 16384U);
    EXPECT_EQ(IVPCI_BULLETIN_ADDRESSES, 1016U);
}

TEST(ShmAbi, MagicReadsAsTextInMemory) {
    __u64 magic = IVPCI_SHM_MAGIC;
    EXPECT_EQ(std::memcmp(&magic, "IVPCSMD0", 8), 0);
}

TEST(ShmAbi, Enumerations) {
    EXPECT_EQ(IVPCI_SLOT_EMPTY, 0);
    EXPECT_EQ(IVPCI_SLOT_CONNECTED, 1);
    EXPECT_EQ(IVPCI_SLOT_LIVE, 2);
    EXPECT_EQ(IVPCI_OP_NONE, 0);
    EXPECT_EQ(IVPCI_OP_JOIN, 1);
    EXPECT_EQ(IVPCI_OP_LEAVE, 2);
    EXPECT_EQ(IVPCI_OP_LEASE, 3);
    EXPECT_EQ(IVPCI_OP_RETURN, 4);
    EXPECT_EQ(IVPCI_ACK_OK, 0);
    EXPECT_EQ(IVPCI_ACK_FULL, 1);
    EXPECT_EQ(IVPCI_ACK_INVALID, 2);
}

TEST(ShmAbi, Slot) {
    EXPECT_EQ(sizeof(ivpci_slot), 64U);
    EXPECT_FIELD(ivpci_slot, state, 0, 4U);
    EXPECT_FIELD(ivpci_slot, generation, 4, 4U);
    EXPECT_FIELD(ivpci_slot, gid, 8, 8U);
    EXPECT_FIELD(ivpci_slot, ack_seq, 16, 4U);
    EXPECT_FIELD(ivpci_slot, ack_status, 20, 4U);
    EXPECT_FIELD(ivpci_slot, chunks, 24, 4U);
    EXPECT_FIELD(ivpci_slot, era, 28, 4U);
    EXPECT_FIELD(ivpci_slot, reserved, 32, 32U);
}

TEST(ShmAbi, Header) {
    EXPECT_EQ(sizeof(ivpci_header), 256U);
    EXPECT_FIELD(ivpci_header, magic, 0, 8U);
    EXPECT_FIELD(ivpci_header, version, 8, 4U);
    EXPECT_FIELD(ivpci_header, slots, 12, 4U);
    EXPECT_FIELD(ivpci_header, uuid, 16, 16U);
    EXPECT_FIELD(ivpci_header, size, 32, 8U);
    EXPECT_FIELD(ivpci_header, area_off, 40, 8U);
    EXPECT_FIELD(ivpci_header, area_size, 48, 8U);
    EXPECT_FIELD(ivpci_header, chunk_off, 56, 8U);
    EXPECT_FIELD(ivpci_header, chunks, 64, 4U);
    EXPECT_FIELD(ivpci_header, lease_off, 68, 4U);
    EXPECT_FIELD(ivpci_header, fabric_id, 72, 2U);
    EXPECT_FIELD(ivpci_header, reserved0, 74, 2U);
    EXPECT_FIELD(ivpci_header, broker_pid, 76, 4U);
    EXPECT_FIELD(ivpci_header, broker_heartbeat, 80, 8U);
    EXPECT_FIELD(ivpci_header, era, 88, 4U);
    EXPECT_FIELD(ivpci_header, reserved, 92, 164U);
    EXPECT_EQ(offsetof(ivpci_header, slot), 256U);
}

TEST(ShmAbi, Control) {
    EXPECT_EQ(sizeof(ivpci_ctl), 896U);
    EXPECT_FIELD(ivpci_ctl, version, 0, 4U);
    EXPECT_FIELD(ivpci_ctl, vectors, 4, 4U);
    EXPECT_FIELD(ivpci_ctl, epoch, 8, 8U);
    EXPECT_FIELD(ivpci_ctl, req_op, 16, 4U);
    EXPECT_FIELD(ivpci_ctl, req_arg, 20, 4U);
    EXPECT_FIELD(ivpci_ctl, req_seq, 24, 4U);
    EXPECT_FIELD(ivpci_ctl, heartbeat, 28, 4U);
    EXPECT_FIELD(ivpci_ctl, bulletin_seq, 32, 4U);
    EXPECT_FIELD(ivpci_ctl, reserved, 36, 28U);
    EXPECT_FIELD(ivpci_ctl, looking, 64, 64U);
    EXPECT_FIELD(ivpci_ctl, tail, 128, 256U);
    EXPECT_FIELD(ivpci_ctl, event_tail, 384, 256U);
    EXPECT_FIELD(ivpci_ctl, overflow_seen, 640, 256U);
}

TEST(ShmAbi, Bulletin) {
    EXPECT_EQ(sizeof(ivpci_address), 16U);
    EXPECT_EQ(sizeof(ivpci_bulletin), 16384U);
    EXPECT_FIELD(ivpci_bulletin, seq, 0, 4U);
    EXPECT_FIELD(ivpci_bulletin, count, 4, 4U);
    EXPECT_FIELD(ivpci_bulletin, agent_version, 8, 4U);
    EXPECT_FIELD(ivpci_bulletin, flags, 12, 4U);
    EXPECT_FIELD(ivpci_bulletin, name, 16, 64U);
    EXPECT_FIELD(ivpci_bulletin, link_port, 80, 4U);
    EXPECT_FIELD(ivpci_bulletin, reserved_port, 84, 4U);
    EXPECT_FIELD(ivpci_bulletin, offload_port, 88, 4U);
    EXPECT_FIELD(ivpci_bulletin, nonce, 92, 16U);
    EXPECT_FIELD(ivpci_bulletin, reserved, 108, 20U);
    EXPECT_FIELD(ivpci_bulletin, address, 128, 16256U);
}

TEST(ShmAbi, Pair) {
    EXPECT_EQ(sizeof(ivpci_event), 16U);
    EXPECT_FIELD(ivpci_event, info, 0, 8U);
    EXPECT_FIELD(ivpci_event, code, 8, 4U);
    EXPECT_EQ(sizeof(ivpci_pair), 4416U);
    EXPECT_FIELD(ivpci_pair, head, 0, 4U);
    EXPECT_FIELD(ivpci_pair, overflow, 4, 4U);
    EXPECT_FIELD(ivpci_pair, event_head, 8, 4U);
    EXPECT_FIELD(ivpci_pair, index, 64, 4096U);
    EXPECT_FIELD(ivpci_pair, event, 4160, 256U);
}

TEST(ShmAbi, Descriptor) {
    EXPECT_EQ(sizeof(ivpci_dmb_desc), 32U);
    EXPECT_FIELD(ivpci_dmb_desc, token, 0, 8U);
    EXPECT_FIELD(ivpci_dmb_desc, offset, 8, 8U);
    EXPECT_FIELD(ivpci_dmb_desc, len, 16, 4U);
    EXPECT_FIELD(ivpci_dmb_desc, writer, 20, 4U);
    EXPECT_FIELD(ivpci_dmb_desc, writer_generation, 24, 4U);
}

TEST(ShmAbi, TokenHasThreeParts) {
    __u64 token = ivpci_token(0xdeadbeef, 63, 4095);
    EXPECT_EQ(token, 0xdeadbeef003f0fffULL);
    EXPECT_EQ(ivpci_token_serial(token), 0xdeadbeefU);
    EXPECT_EQ(ivpci_token_slot(token), 63U);
    EXPECT_EQ(ivpci_token_index(token), 4095U);
}

TEST(ShmAbi, LeaseHasTwoParts) { EXPECT_EQ(ivpci_lease(63, 0xabcdef), 0xabcdef3fU); }

TEST(ShmAbi, VectorsOfData) {
    EXPECT_EQ(ivpci_vector(5, 1), 0U) << "the only one there is";
    EXPECT_EQ(ivpci_vector(5, 2), 1U);
    EXPECT_EQ(ivpci_vector(5, 4), 3U);
    EXPECT_EQ(ivpci_vector(6, 4), 1U);
    EXPECT_EQ(ivpci_vector(5, 0), 0U) << "a hostile peer's number";
}

struct Golden {
    __u64 size;
    __u32 slots, lease_off;
    __u64 area_off, area_size, chunk_off;
    __u32 chunks, bulletin_off, pair_off, desc_off, claim_off;
};

class LayoutAbi : public ::testing::TestWithParam<Golden> {};

auto members(const ivpci_layout& l) {
    return std::make_tuple(l.size, l.slots, l.lease_off, l.area_off, l.area_size, l.chunk_off,
                           l.chunks, l.bulletin_off, l.pair_off, l.desc_off, l.claim_off);
}

TEST_P(LayoutAbi, IsWhereItWas) {
    const Golden& want = GetParam();
    ivpci_layout got{};
    ASSERT_EQ(ivpci_layout_init(&got, want.size, want.slots), 0);
    EXPECT_EQ(got.lease_off, want.lease_off);
    EXPECT_EQ(got.area_off, want.area_off);
    EXPECT_EQ(got.area_size, want.area_size);
    EXPECT_EQ(got.chunk_off, want.chunk_off);
    EXPECT_EQ(got.chunks, want.chunks);
    EXPECT_EQ(got.bulletin_off, want.bulletin_off);
    EXPECT_EQ(got.pair_off, want.pair_off);
    EXPECT_EQ(got.desc_off, want.desc_off);
    EXPECT_EQ(got.claim_off, want.claim_off);

    ivpci_layout from_c{};
    ASSERT_EQ(abi_layout_from_c(&from_c, want.size, want.slots), 0);
    EXPECT_EQ(members(got), members(from_c));
}

INSTANTIATE_TEST_SUITE_P(
    Regions, LayoutAbi,
    ::testing::Values(
        Golden{16ULL << 20, 1, 384, 4096, 196608, 1048576, 15, 4096, 20480, 29312, 160384},
        Golden{64ULL << 20, 16, 1344, 4096, 507904, 8388608, 56, 4096, 20480, 95552, 226624},
        Golden{256ULL << 20, 16, 1344, 4096, 507904, 8388608, 248, 4096, 20480, 95552, 226624},
        Golden{1ULL << 30, 63, 4352, 12288, 1482752, 94371840, 934, 4096, 20480, 303104, 434176},
        Golden{64ULL << 30, 2, 448, 266240, 217088, 1048576, 65535, 4096, 20480, 33728, 164800}));

TEST(LayoutAbi, RefusesWhatCannotBe) {
    ivpci_layout l{};
    EXPECT_EQ(ivpci_layout_init(&l, 256U << 20, 0), -1);
    EXPECT_EQ(ivpci_layout_init(&l, 256U << 20, 64), -1);
    EXPECT_EQ(ivpci_layout_init(&l, 256U << 20, ~0U), -1);
    EXPECT_EQ(ivpci_layout_init(&l, 0, 2), -1);
    EXPECT_EQ(ivpci_layout_init(&l, 192U << 20, 2), -1) << "no power of two";
    EXPECT_EQ(ivpci_layout_init(&l, 1U << 20, 2), -1) << "no room for a chunk";
    EXPECT_EQ(ivpci_layout_init(&l, 32U << 20, 16), -1) << "less than two chunks for each";
    EXPECT_EQ(ivpci_layout_init(&l, 128ULL << 30, 2), -1) << "too many chunks to number";
    EXPECT_EQ(ivpci_layout_init(&l, 1ULL << 63, 2), -1);
}

// Parts must not overlap, whatever the region: everything a guest indexes follows from this.
TEST(LayoutAbi, PartsDoNotOverlap) {
    for (__u32 slots = 1; slots <= IVPCI_SLOTS_MAX; ++slots) {
        for (__u64 size = IVPCI_CHUNK_SIZE; size <= 64ULL << 30; size *= 2) {
            ivpci_layout l{};
            if (ivpci_layout_init(&l, size, slots) != 0) {
                continue;
            }
            ASSERT_GE(l.lease_off, 256 + (slots + 1) * 64);
            ASSERT_GE(l.area_off, l.lease_off + l.chunks * 4ULL);
            ASSERT_GE(l.bulletin_off, sizeof(ivpci_ctl));
            ASSERT_GE(l.pair_off, l.bulletin_off + sizeof(ivpci_bulletin));
            ASSERT_EQ(l.pair_off % 64, 0U);
            ASSERT_GE(l.desc_off, l.pair_off + (slots + 1) * sizeof(ivpci_pair));
            ASSERT_EQ(l.desc_off % 32, 0U);
            ASSERT_GE(l.claim_off, l.desc_off + IVPCI_DMBS * sizeof(ivpci_dmb_desc));
            ASSERT_GE(l.area_size, l.claim_off + (slots + 1ULL) * IVPCI_DMBS * 4);
            ASSERT_EQ(l.area_size % IVPCI_PAGE, 0U);
            ASSERT_EQ(l.area_off % IVPCI_PAGE, 0U);
            ASSERT_GE(l.chunk_off, ivpci_area(&l, slots) + l.area_size);
            ASSERT_EQ(l.chunk_off % IVPCI_CHUNK_SIZE, 0U);
            ASSERT_LE(l.chunk_off + l.chunks * __u64{IVPCI_CHUNK_SIZE}, l.size);
            ASSERT_GE(l.chunks, 2 * slots);
        }
    }
}

}  // namespace
