// SPDX-License-Identifier: Apache-2.0
// forger: a hostile member of a region that tells one likely lie after the other: each word that
// others read, near what it may be. scribble.cc hits what nobody thought of, this what somebody
// did.
//
//   forger DEVICE SLOTS SECONDS SEED KINDS    DEVICE: the PCI device's directory in sysfs
//
// KINDS: any of s (slots), l (leases), d (descriptors), c (claims), r (rings), e (event rings), q
// (control words and requests), h (headers of DMBs). Prints how many of each. The same seed tells
// the same lies, as far as others' words are the same.
#include <fcntl.h>
#include <ivpci/shm_abi.h>
#include <ivshmem/protocol.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <random>
#include <string>

namespace {

constexpr uint32_t kIndices = 64;  // DMBs that are there have low numbers
constexpr useconds_t kPause = 300;

uint8_t* map(const std::string& path, uint64_t* size) {
    const int fd = open(path.c_str(), O_RDWR | O_SYNC | O_CLOEXEC);
    struct stat st {};
    void* at = MAP_FAILED;
    if (fd >= 0 && !fstat(fd, &st)) {
        at = mmap(nullptr, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (at == MAP_FAILED) {
        std::perror(("forger: " + path).c_str());
        std::exit(3);
    }
    *size = st.st_size;
    return static_cast<uint8_t*>(at);
}

class Forger {
public:
    Forger(const std::string& device, uint32_t slots, uint32_t seed) : random_(seed) {
        uint64_t size = 0;
        memory_ = map(device + "/resource2", &size);
        if (ivpci_layout_init(&layout_, size, slots)) {
            std::fprintf(stderr, "forger: layout\n");
            std::exit(3);
        }
        registers_ = map(device + "/resource0", &size);
    }

    void tell(char kind) {
        switch (kind) {
            case 's':
                slot();
                break;
            case 'l':
                put(at<__u32>(layout_.lease_off)[below(layout_.chunks)],
                    {0, ivpci_lease(any_slot(), 0), ivpci_lease(any_slot(), generation(any_slot())),
                     ivpci_lease(any_slot(), generation(any_slot()) + 1), 0xffffffff});
                break;
            case 'd':
                descriptor();
                break;
            case 'c': {
                auto* claims = at<__u32>(area() + layout_.claim_off);
                const uint32_t owner = any_slot();
                const uint32_t index = below(kIndices);
                const uint32_t serial = ivpci_token_serial(descs(owner)[index].token);
                put(claims[owner * IVPCI_DMBS + index], {0, serial, serial + 1, 0xffffffff});
                break;
            }
            case 'r':
                ring();
                break;
            case 'e':
                event();
                break;
            case 'q':
                control();
                break;
            case 'h':
                header();
                break;
            default:
                std::fprintf(stderr, "forger: no such kind: %c\n", kind);
                std::exit(2);
        }
        doorbell(any_slot(), below(4));
    }

    uint32_t below(uint32_t limit) { return random_() % limit; }

private:
    template <class T>
    T* at(uint64_t offset) {
        return reinterpret_cast<T*>(memory_ + offset);
    }
    ivpci_slot& shown(uint32_t slot) { return at<ivpci_header>(0)->slot[slot]; }
    ivpci_dmb_desc* descs(uint32_t slot) {
        return at<ivpci_dmb_desc>(ivpci_area(&layout_, slot) + layout_.desc_off);
    }
    uint32_t any_slot() { return 1 + below(layout_.slots); }
    uint64_t area() { return ivpci_area(&layout_, any_slot()); }
    uint32_t generation(uint32_t slot) { return shown(slot).generation; }

    template <class T>
    void put(T& word, std::initializer_list<uint64_t> values) {
        const auto value = static_cast<T>(values.begin()[below(values.size())]);
        __atomic_store_n(&word, value, __ATOMIC_RELEASE);
    }

    // Mostly of those that are there, and where one of them ends.
    uint64_t any_offset(uint32_t len) {
        const uint64_t chunk =
            layout_.chunk_off + uint64_t{below(layout_.chunks)} * IVPCI_CHUNK_SIZE;
        const uint64_t places[] = {descs(any_slot())[below(kIndices)].offset,
                                   chunk,
                                   chunk + IVPCI_CHUNK_SIZE - len,
                                   chunk + IVPCI_CHUNK_SIZE - IVPCI_DMB_UNIT,
                                   layout_.chunk_off - IVPCI_DMB_UNIT,
                                   layout_.size - len,
                                   layout_.size,
                                   layout_.size + IVPCI_CHUNK_SIZE,
                                   chunk + 1,
                                   ~0ULL - len + 1};
        return places[below(std::size(places))];
    }

    void slot() {
        ivpci_slot& slot = shown(any_slot());
        switch (below(6)) {
            case 0:
                return put(slot.state,
                           {IVPCI_SLOT_EMPTY, IVPCI_SLOT_CONNECTED, IVPCI_SLOT_LIVE, 3});
            case 1:
                return put(slot.generation, {slot.generation + 1, slot.generation - 1, 0,
                                             slot.generation | 0x1000000, 0xffffff});
            case 2:
                return put(slot.gid, {shown(any_slot()).gid, 0, slot.gid + 1, ~0ULL});
            case 3:
                return put(slot.ack_seq, {slot.ack_seq + 1, slot.ack_seq - 1, 0});
            case 4:
                return put(slot.ack_status, {0, 1, 2, 3, 0xffffffff});
            default:
                return put(slot.era, {slot.era + 1, 0, 0xffffffff});
        }
    }

    void descriptor() {
        const uint32_t owner = any_slot();
        const uint32_t index = below(kIndices);
        ivpci_dmb_desc& desc = descs(owner)[index];
        const uint64_t token = descs(any_slot())[below(kIndices)].token;
        switch (below(5)) {
            case 0: {
                const uint32_t len = IVPCI_DMB_UNIT << below(7);
                return put(desc.offset, {any_offset(len), any_offset(desc.len)});
            }
            case 1:
                return put(desc.len, {IVPCI_DMB_UNIT << below(7), 0, 1, IVPCI_DMB_UNIT - 1,
                                      2 * IVPCI_CHUNK_SIZE, 0x80000000, 0xffffffff});
            case 2:
                return put(desc.writer, {any_slot(), 0, layout_.slots + 1, 0xffffffff});
            case 3:
                return put(desc.writer_generation, {generation(any_slot()), 0, 0xffffffff});
            default:
                return put(desc.token, {token, __builtin_bswap64(token), token + 1, 0,
                                        token ^ uint64_t{1} << 32, ivpci_token(1, owner, index)});
        }
    }

    ivpci_pair& pair() { return at<ivpci_pair>(area() + layout_.pair_off)[any_slot()]; }
    ivpci_ctl& ctl() { return *at<ivpci_ctl>(area()); }

    void ring() {
        ivpci_pair& one = pair();
        switch (below(4)) {
            case 0:
                return put(one.head, {one.head + 1, one.head - 1, one.head + IVPCI_RING_SIZE,
                                      one.head + IVPCI_RING_SIZE + 1, one.head + 0x80000000});
            case 1:
                return put(one.overflow, {one.overflow + 1, 0, 0xffffffff});
            case 2:
                return put(one.index[below(IVPCI_RING_SIZE)],
                           {below(kIndices), 0, IVPCI_DMBS - 1, IVPCI_DMBS, 0xffffffff});
            default:
                __u32& tail = ctl().tail[any_slot()];
                return put(tail, {tail + 1, tail - 1, tail + IVPCI_RING_SIZE, 0});
        }
    }

    void event() {
        ivpci_pair& one = pair();
        ivpci_event& event = one.event[below(IVPCI_EVENT_RING_SIZE)];
        switch (below(4)) {
            case 0:
                return put(one.event_head, {one.event_head + 1, one.event_head - 1,
                                            one.event_head + IVPCI_EVENT_RING_SIZE,
                                            one.event_head + IVPCI_EVENT_RING_SIZE + 1});
            case 1:
                return put(event.code, {0, 1, 2, 3, 0x80, 0x83, IVPCI_EVENT_PARTED, 0xffffffff});
            case 2:
                return put(event.info, {0, 1, uint64_t{random_()} << 32 | random_(), ~0ULL});
            default:
                __u32& tail = ctl().event_tail[any_slot()];
                return put(tail, {tail + 1, tail - 1, tail + IVPCI_EVENT_RING_SIZE, 0});
        }
    }

    void control() {
        ivpci_ctl& one = ctl();
        switch (below(7)) {
            case 0:
                return put(one.req_op, {0, 1, 2, 3, 4, 5, 0xffffffff});
            case 1:
                return put(one.req_arg, {0, 1, layout_.chunks - 1, layout_.chunks, 0xffffffff});
            case 2:
                return put(one.req_seq, {one.req_seq + 1, one.req_seq - 1, 0});
            case 3:
                return put(one.vectors,
                           {0, 1, IVPCI_VECTORS_MAX, IVPCI_VECTORS_MAX + 1, 0xffffffff});
            case 4:
                return put(one.looking[below(IVPCI_VECTORS_MAX)], {0, 1, 0xffffffff});
            case 5:
                return put(one.heartbeat, {one.heartbeat + 1, 0});
            default:
                return put(one.bulletin_seq,
                           {one.bulletin_seq + 1, one.bulletin_seq + 2, 0xffffffff});
        }
    }

    // net/smc's (smc_cdc.h): two cursors {u16 wrap, u32 count, u8 flags[2]} at 8 and 16.
    void header() {
        const ivpci_dmb_desc& desc = descs(any_slot())[below(kIndices)];
        const uint64_t offset = desc.offset;
        const uint32_t len = desc.len;
        if (offset < layout_.chunk_off || offset > layout_.size - IVPCI_DMB_UNIT) {
            return;
        }
        uint8_t* cursor = at<uint8_t>(offset) + 8 * (1 + below(2));
        auto* count = reinterpret_cast<uint32_t*>(cursor + 2);
        auto* wrap = reinterpret_cast<uint16_t*>(cursor);
        switch (below(3)) {
            case 0:
                return put(*count,
                           {0, *count + 1, *count - 1, len - 32, len - 31, len, 0x70000000});
            case 1:
                return put(*wrap, {uint64_t{*wrap} + 1, uint64_t{*wrap} - 1, 0, 0xffff});
            default:
                return put(cursor[6 + below(2)], {0, 0x20, 0x80, 0x40, 0xff});
        }
    }

    void doorbell(uint32_t slot, uint32_t vector) {
        __atomic_store_n(reinterpret_cast<__u32*>(registers_ + IVSHMEM_REG_DOORBELL),
                         __u32{slot << 16 | vector}, __ATOMIC_RELEASE);
    }

    std::mt19937 random_;
    uint8_t* memory_;
    uint8_t* registers_;
    ivpci_layout layout_{};
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) {
        std::fprintf(stderr, "usage: forger DEVICE SLOTS SECONDS SEED KINDS\n");
        return 2;
    }
    Forger forger(argv[1], std::stoul(argv[2]), std::stoul(argv[4]));
    const std::string kinds = argv[5];
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::duration<double>(std::stod(argv[3]));
    std::map<char, unsigned> told;
    while (std::chrono::steady_clock::now() < end) {
        const char kind = kinds[forger.below(kinds.size())];
        forger.tell(kind);
        told[kind]++;
        usleep(kPause);
    }
    for (const auto& [kind, count] : told) {
        std::printf("%c %u\n", kind, count);
    }
    return 0;
}
