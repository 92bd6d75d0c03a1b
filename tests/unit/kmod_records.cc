// SPDX-License-Identifier: Apache-2.0
// Record rings: what one end writes the other reads, across the end of the area, and nothing that
// cannot be is believed.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/kmod_accessors.h"
//
#include "kmod/tcp_ivpci_records.h"

namespace {

constexpr __u32 kSize = 1024;

struct Ring : testing::Test {
    alignas(8) struct {
        ivpci_records ring;
        char data[kSize];
    } memory{};
    records_writer writer{};
    records_reader reader{};

    Ring() {
        writer.ring = reader.ring = &memory.ring;
        writer.data = memory.data;
        reader.data = memory.data;
        writer.size = reader.size = kSize;
    }

    __u32 room() {
        __u32 room = 0;
        EXPECT_TRUE(records_room(&writer, &room));
        return room;
    }

    void publish(const std::string& bytes, __u32 seq) {
        for (size_t i = 0; i < bytes.size(); ++i) {
            memory.data[(records_next(&writer) + i) % kSize] = bytes[i];
        }
        records_publish(&writer, static_cast<__u32>(bytes.size()), seq);
    }

    std::string take(__u32 most) {
        std::string bytes;
        const __u32 n = std::min(most, reader.len - reader.done);
        for (__u32 i = 0; i < n; ++i) {
            bytes += reader.data[(records_offset(&reader) + i) % reader.size];
        }
        records_take(&reader, n);
        return bytes;
    }

    records_answer look(__u32 copied_seq = 0, __u32 rcv_nxt = 0) {
        return records_look(&reader, copied_seq, rcv_nxt);
    }
};

TEST_F(Ring, CarriesWhatWasWrittenManyTimesAround) {
    std::mt19937 random(1);
    std::deque<std::string> sent;
    __u32 seq = 0xfffffff0;  // goes over the end
    for (int i = 0; i < 20000; ++i) {
        if (random() % 2) {
            const std::string bytes(1 + random() % 300, static_cast<char>(random()));
            if (room() >= records_extent(bytes.size())) {
                publish(bytes, seq);
                sent.push_back(bytes);
            }
        } else if (sent.empty()) {
            ASSERT_EQ(look(seq, seq), RECORDS_NONE);
        } else {
            ASSERT_EQ(look(seq, seq), RECORDS_ONE);
            EXPECT_EQ(reader.seq, seq);
            const std::string some = take(1 + random() % 300);
            ASSERT_EQ(some, sent.front().substr(0, some.size()));
            sent.front().erase(0, some.size());
            if (sent.front().empty()) {
                sent.pop_front();
            }
        }
        if (sent.empty()) {
            seq += 5;
        }
    }
    EXPECT_GT(writer.produced, 100 * kSize);
}

TEST_F(Ring, CountsWhatIsUnreadUpToAPlaceInTheStream) {
    publish("abc", 10);
    publish("defgh", 10);
    publish("ij", 20);
    ASSERT_EQ(look(10, 15), RECORDS_ONE);
    EXPECT_EQ(records_count(&reader, 15, 1000), 8U);
    EXPECT_EQ(records_count(&reader, 20, 1000), 10U);
    take(2);
    EXPECT_EQ(records_count(&reader, 15, 1000), 6U);
    EXPECT_LT(records_count(&reader, 20, 1), 9U);
}

TEST_F(Ring, TheReaderBelievesNothingThatCannotBe) {
    struct Lie {
        const char* what;
        __u64 produced;
        __u32 len, seq;
    };
    const std::vector<Lie> lies{
        {"more than fits", kSize + 8, 8, 100},
        {"more than fits, far", ~0ULL - 7, 8, 100},
        {"no multiple of 8", 12, 4, 100},
        {"an empty record", 16, 0, 100},
        {"a record beyond the end", 16, 9, 100},
        {"a record as long as can be", 16, 0xffffffff, 100},
        {"long before what was read", 16, 8, 100 - IVPCI_RECORDS_AHEAD - 1},
        {"far ahead", 16, 8, 200 + IVPCI_RECORDS_AHEAD + 1},
        {"half the numbers away", 16, 8, 100 + 0x80000000},
    };
    for (const Lie& lie : lies) {
        memory.ring.produced = lie.produced;
        const ivpci_record record{lie.len, lie.seq};
        std::memcpy(memory.data, &record, sizeof(record));
        const records_reader before = reader;
        EXPECT_EQ(look(100, 200), RECORDS_LIE) << lie.what;
        reader = before;
    }
    memory.ring.produced = 16;
    // Two urgent bytes move TCP's place past a record that nobody has looked at.
    for (const __u32 seq : {200 + IVPCI_RECORDS_AHEAD, 98U}) {
        const ivpci_record right{8, seq};
        std::memcpy(memory.data, &right, sizeof(right));
        const records_reader before = reader;
        EXPECT_EQ(look(100, 200), RECORDS_ONE) << seq;
        reader = before;
    }
}

TEST_F(Ring, WhatWasProducedDoesNotBecomeLess) {
    publish("abc", 0);
    publish("def", 0);
    ASSERT_EQ(look(), RECORDS_ONE);
    memory.ring.produced = 16;
    EXPECT_EQ(look(), RECORDS_LIE);
}

// A record is read once: what is written to it later changes nothing.
TEST_F(Ring, ALookIsOne) {
    publish("abcdefgh", 0);
    ASSERT_EQ(look(), RECORDS_ONE);
    const ivpci_record other{0xffffffff, 7};
    std::memcpy(memory.data, &other, sizeof(other));
    EXPECT_EQ(look(), RECORDS_ONE);
    EXPECT_EQ(reader.len, 8U);
    EXPECT_EQ(reader.seq, 0U);
}

TEST_F(Ring, TheWriterBelievesNothingThatCannotBe) {
    publish("abc", 0);
    ASSERT_EQ(look(), RECORDS_ONE);
    take(3);
    EXPECT_EQ(room(), kSize);
    __u32 room = 0;
    for (const __u64 consumed : {0ULL, 8ULL, 17ULL, 24ULL, ~0ULL}) {
        memory.ring.consumed = consumed;
        EXPECT_FALSE(records_room(&writer, &room)) << consumed;
    }
    memory.ring.consumed = 16;
    EXPECT_TRUE(records_room(&writer, &room));
}

TEST_F(Ring, WhatBecameOfTheLastRecord) {
    publish("abc", 0);
    const __u64 before = writer.produced;
    EXPECT_FALSE(records_closed(&writer));
    publish("def", 0);
    memory.ring.closed = 1;
    EXPECT_TRUE(records_closed(&writer));
    EXPECT_EQ(records_final(&writer), RECORDS_UNKNOWN);
    memory.ring.final_valid = 1;
    memory.ring.final = before;
    EXPECT_EQ(records_final(&writer), RECORDS_NONE);
    memory.ring.final = writer.produced;
    EXPECT_EQ(records_final(&writer), RECORDS_ONE);
    for (const __u64 lie : {before - 8, before + 8, writer.produced + 8, __u64{0}}) {
        memory.ring.final = lie;
        EXPECT_EQ(records_final(&writer), RECORDS_LIE) << lie;
    }
}

// What was there is read to its end, from a copy; what comes later is not.
TEST_F(Ring, ClosedItIsReadToItsEnd) {
    for (int i = 0; i < 7; ++i) {  // the unread ones lie across the end of the area
        publish(std::string(120, 'x'), 0);
        ASSERT_EQ(look(), RECORDS_ONE);
        take(120);
    }
    publish(std::string(100, 'a'), 0);
    publish(std::string(50, 'b'), 0);
    ASSERT_EQ(look(), RECORDS_ONE);
    EXPECT_EQ(take(10), std::string(10, 'a'));
    ASSERT_TRUE(records_close(&reader));
    EXPECT_EQ(memory.ring.final, writer.produced);
    EXPECT_TRUE(memory.ring.final_valid);
    publish("late", 0);
    std::vector<char> copy(reader.end - reader.pos);
    for (size_t i = 0; i < copy.size(); ++i) {
        copy[i] = memory.data[(reader.pos + i) % kSize];
    }
    records_keep(&reader, copy.data());
    std::memset(memory.data, 0xff, sizeof(memory.data));
    ASSERT_EQ(look(), RECORDS_ONE);
    EXPECT_EQ(take(1000), std::string(90, 'a'));
    ASSERT_EQ(look(), RECORDS_ONE);
    EXPECT_EQ(take(1000), std::string(50, 'b'));
    EXPECT_EQ(look(), RECORDS_NONE);
    EXPECT_FALSE(records_unread(&reader));
}

TEST_F(Ring, ClosedOnALieNothingIsThere) {
    memory.ring.produced = kSize + 8;
    EXPECT_FALSE(records_close(&reader));
    EXPECT_FALSE(records_unread(&reader));
}

// Room is told once for each time that it was asked for, when half is free.
TEST_F(Ring, RoomIsToldWhenHalfIsFree) {
    for (int i = 0; i < 8; ++i) {
        publish(std::string(120, 'x'), 0);
    }
    EXPECT_EQ(room(), 0U);
    records_want_room(&memory.ring, 1);
    int told = 0, when = 0;
    for (int i = 0; i < 8; ++i) {
        ASSERT_EQ(look(), RECORDS_ONE);
        if (records_take(&reader, 120)) {
            told++;
            when = i;
        }
    }
    EXPECT_EQ(told, 1);
    EXPECT_EQ(when, 3);
}

// The reader is signalled once each time that it asked to hear of the next one, and not else.
TEST_F(Ring, WhenASignalIsDue) {
    publish("a", 0);
    EXPECT_FALSE(records_signal(&writer));
    for (int i = 0; i < 2; ++i) {
        records_watch(&reader);
        EXPECT_TRUE(records_signal(&writer));
        EXPECT_FALSE(records_signal(&writer)) << "heard of already";
    }
    reader.watching = ~0U;  // the count wraps
    records_watch(&reader);
    EXPECT_TRUE(records_signal(&writer));
    EXPECT_EQ(look(), RECORDS_ONE);
}

// Who waits hears of each record once, and of each answer to what was asked for.
TEST_F(Ring, WhatIsHeardOf) {
    __u64 heard = 0;
    records_watch_anew(&reader, &heard);
    publish("a", 0);
    EXPECT_TRUE(records_heard(&reader, &memory.ring, &heard, true));
    EXPECT_FALSE(records_heard(&reader, &memory.ring, &heard, true)) << "a doorbell of room only";
    ASSERT_EQ(look(), RECORDS_ONE);
    take(1);
    // The writer answers only now, for the record that is read. It is not asked again before that
    // is heard.
    records_watch_anew(&reader, &heard);
    EXPECT_TRUE(records_signal(&writer));
    EXPECT_TRUE(records_heard(&reader, &memory.ring, &heard, true)) << "an answer that came late";
}

// The driver looks by itself now and then: that wakes nobody for what somebody has looked at.
TEST_F(Ring, WhatNobodyHasRungFor) {
    __u64 heard = RECORDS_UNHEARD;
    publish("a", 0);
    EXPECT_TRUE(records_heard(&reader, &memory.ring, &heard, false)) << "the doorbell got lost";
    ASSERT_EQ(look(), RECORDS_ONE);
    heard = RECORDS_UNHEARD;
    EXPECT_FALSE(records_heard(&reader, &memory.ring, &heard, false))
        << "somebody has looked at it";
    EXPECT_TRUE(records_heard(&reader, &memory.ring, &heard, true));
}

// A receiver that stops while it says what it has read keeps the driver from going for short only.
TEST(Records, WhoIsInAHurryGivesUpSoon) {
    auto sleeps = [](bool hurry) {
        int count = 0;
        for (int tries = 0; records_patience(tries, hurry) != RECORDS_GIVE_UP; ++tries) {
            count += records_patience(tries, hurry) == RECORDS_SLEEP;
        }
        return count;  // of 50 to 100 us
    };
    EXPECT_LE(sleeps(true), 200) << "the driver waits";
    EXPECT_GE(sleeps(false), 5000) << "a guest that has no CPU for a while is no liar";
    EXPECT_EQ(records_patience(11000, false), RECORDS_GIVE_UP) << "for ever";
}

}  // namespace
