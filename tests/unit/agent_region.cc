// SPDX-License-Identifier: Apache-2.0
// The region's readers against memory that is well-formed, half-written, or a lie.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "agent/peers/peer_table.h"
#include "agent/peers/region.h"

namespace smc_steer {
namespace {

constexpr std::uint64_t kSize = 32 << 20;
constexpr std::uint32_t kSlots = 4;

Address v4(std::uint8_t last) {
    std::array<std::uint8_t, 4> bytes{10, 0, 0, last};
    return Address::from_bytes(bytes);
}

class Region : public ::testing::Test {
protected:
    void SetUp() override {
        ASSERT_EQ(ivpci_layout_init(&layout_, kSize, kSlots), 0);
        memory_ = mmap(nullptr, layout_.chunk_off, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(memory_, MAP_FAILED);
        auto& h = header();
        h.magic = IVPCI_SHM_MAGIC;
        h.version = IVPCI_SHM_VERSION;
        h.slots = kSlots;
        h.size = kSize;
        h.area_off = layout_.area_off;
        h.area_size = layout_.area_size;
        h.chunk_off = layout_.chunk_off;
    }
    void TearDown() override { munmap(memory_, layout_.chunk_off); }

    ivpci_header& header() { return *static_cast<ivpci_header*>(memory_); }
    ivpci_bulletin& bulletin(std::uint32_t slot) {
        auto at = ivpci_area(&layout_, slot) + layout_.bulletin_off;
        return *reinterpret_cast<ivpci_bulletin*>(static_cast<char*>(memory_) + at);
    }
    void live(std::uint32_t slot, std::uint32_t generation) {
        header().slot[slot] = {IVPCI_SLOT_LIVE, generation, 0x1000u + slot, 0, 0, 0, 0, {}};
    }
    Result<RegionView> view() { return view_region(memory_, kSize, kSlots); }

    ivpci_layout layout_{};
    void* memory_ = nullptr;
};

TEST_F(Region, IsViewed) { EXPECT_TRUE(view()); }

TEST_F(Region, HeaderMustSayWhatTheDriverSays) {
    auto spoil = [&](auto& word) {
        auto good = word;
        word = good + 1;
        EXPECT_FALSE(view());
        word = good;
        EXPECT_TRUE(view());
    };
    spoil(header().magic);
    spoil(header().version);
    spoil(header().slots);
    spoil(header().size);
    spoil(header().area_off);
    spoil(header().area_size);
    spoil(header().chunk_off);
    EXPECT_FALSE(view_region(memory_, kSize + 1, kSlots));
    EXPECT_FALSE(view_region(memory_, kSize, 0));
    EXPECT_FALSE(view_region(memory_, kSize, IVPCI_SLOTS_MAX + 1));
}

TEST_F(Region, SlotsBeyondTheRegionAreEmpty) {
    live(1, 7);
    EXPECT_EQ(read_slot(*view(), 1), (Membership{IVPCI_SLOT_LIVE, 7, 0x1001}));
    EXPECT_EQ(read_slot(*view(), 0).state, IVPCI_SLOT_EMPTY);
    EXPECT_EQ(read_slot(*view(), kSlots + 1).state, IVPCI_SLOT_EMPTY);
}

TEST_F(Region, BulletinGoesThere) {
    Bulletin said{0x000102, "guest", {v4(1), v4(2)}};
    write_bulletin(bulletin(2), said);
    EXPECT_EQ(bulletin(2).seq % 2, 0U);
    EXPECT_EQ(read_bulletin(bulletin(2)), said);
    write_bulletin(bulletin(2), {});
    EXPECT_EQ(read_bulletin(bulletin(2)), Bulletin{});
}

TEST_F(Region, WriterDeadInTheMiddleIsNoBulletin) {
    write_bulletin(bulletin(1), {1, "x", {v4(1)}});
    bulletin(1).seq |= 1;
    EXPECT_FALSE(read_bulletin(bulletin(1)));
    // The next agent writes over it and is heard.
    write_bulletin(bulletin(1), {1, "y", {}});
    ASSERT_TRUE(read_bulletin(bulletin(1)));
    EXPECT_EQ(read_bulletin(bulletin(1))->name, "y");
}

TEST_F(Region, CountBeyondTheRoomIsCut) {
    write_bulletin(bulletin(1), {1, "liar", {}});
    bulletin(1).count = 0xffffffff;
    ASSERT_TRUE(read_bulletin(bulletin(1)));
    EXPECT_EQ(read_bulletin(bulletin(1))->addresses.size(), IVPCI_BULLETIN_ADDRESSES);
}

TEST_F(Region, NamesAreMadePrintable) {
    write_bulletin(bulletin(1), {1, "a\x1b[2Jb\nc\xff", {}});
    EXPECT_EQ(read_bulletin(bulletin(1))->name, "a?[2Jb?c?");
    write_bulletin(bulletin(1), {1, std::string(200, 'n'), {}});
    EXPECT_EQ(read_bulletin(bulletin(1))->name, std::string(64, 'n'));
}

TEST_F(Region, MoreAddressesThanRoomAreLeftOut) {
    Bulletin many{1, "", std::vector<Address>(IVPCI_BULLETIN_ADDRESSES + 5, v4(1))};
    write_bulletin(bulletin(1), many);
    EXPECT_EQ(bulletin(1).count, IVPCI_BULLETIN_ADDRESSES);
}

// Either of two bulletins, or none, but never a mixture of both.
TEST_F(Region, NoTornCopies) {
    Bulletin a{1, "aaaa", std::vector<Address>(1000, v4(1))};
    Bulletin b{2, "bbbb", std::vector<Address>(900, v4(2))};
    write_bulletin(bulletin(1), a);
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        while (!stop) {
            write_bulletin(bulletin(1), b);
            std::this_thread::yield();
            write_bulletin(bulletin(1), a);
            std::this_thread::yield();
        }
    });
    // Until the one followed the other often enough: on a busy machine writer and reader take
    // turns.
    int whole = 0, changes = 0;
    std::string last;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (changes < 300 && std::chrono::steady_clock::now() < end) {
        auto copy = read_bulletin(bulletin(1));
        if (!copy) {
            continue;
        }
        whole++;
        changes += copy->name != last ? 1 : 0;
        last = copy->name;
        if (*copy != a && *copy != b) {
            ADD_FAILURE() << "torn: " << copy->name << ", " << copy->addresses.size();
            break;
        }
    }
    stop = true;
    writer.join();
    EXPECT_GT(whole, 0);
}

TEST_F(Region, PeersAreEverybodyElse) {
    live(1, 1);
    live(2, 5);
    header().slot[3].state = IVPCI_SLOT_CONNECTED;
    write_bulletin(bulletin(2), {1, "two", {v4(2)}});
    write_bulletin(bulletin(3), {1, "stale words of a former owner", {v4(3)}});
    auto peers = read_peers(*view(), 1, {});
    ASSERT_EQ(peers.size(), 2U);
    EXPECT_EQ(peers.at(2).bulletin.name, "two");
    EXPECT_EQ(peers.at(2).membership.generation, 5U);
    EXPECT_EQ(peers.at(3).bulletin, Bulletin{});
}

TEST_F(Region, UnreadableBulletinKeepsTheLastOfItsGeneration) {
    live(2, 5);
    write_bulletin(bulletin(2), {1, "two", {v4(2)}});
    auto before = read_peers(*view(), 1, {});
    bulletin(2).seq |= 1;
    EXPECT_EQ(read_peers(*view(), 1, before), before);
    live(2, 6);
    EXPECT_EQ(read_peers(*view(), 1, before).at(2).bulletin, Bulletin{});
}

}  // namespace
}  // namespace smc_steer
