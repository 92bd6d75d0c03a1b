// SPDX-License-Identifier: Apache-2.0
// scribble: a hostile member of a region. Maps the ivshmem device's memory and writes garbage over
// what a member can reach.
//
//   scribble RESOURCE2 SLOTS SECONDS TARGETS
//
// TARGETS: any of h (header), i (of the header what never changes), o (own area), a (all areas), r
// (rings), d (descriptors), c (claims), b (bulletins), x (chunks). "Targeted" words are likely
// lies: heads far away, tokens of others, offsets outside, lengths of 0 and of everything.
#include <fcntl.h>
#include <ivpci/shm_abi.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

namespace {

struct Range {
    uint64_t from, to;
};

void add(std::vector<Range>* ranges, uint64_t from, uint64_t size) {
    ranges->push_back({from, from + size});
}

std::vector<Range> ranges_of(const ivpci_layout& l, std::string_view targets) {
    std::vector<Range> ranges;
    for (const char target : targets) {
        switch (target) {
            case 'h':
                add(&ranges, 0, l.area_off);
                break;
            case 'i':
                add(&ranges, 0, offsetof(ivpci_header, fabric_id));
                break;
            case 'x':
                add(&ranges, l.chunk_off, l.size - l.chunk_off);
                break;
            default:
                break;
        }
        for (uint32_t slot = 1; slot <= l.slots; slot++) {
            const uint64_t area = ivpci_area(&l, slot);
            if (target == 'a') {
                add(&ranges, area, l.area_size);
            } else if (target == 'b') {
                add(&ranges, area + l.bulletin_off, uint64_t{IVPCI_BULLETIN_SIZE});
            } else if (target == 'r') {
                add(&ranges, area + l.pair_off, l.desc_off - l.pair_off);
            } else if (target == 'd') {
                add(&ranges, area + l.desc_off, l.claim_off - l.desc_off);
            } else if (target == 'c') {
                add(&ranges, area + l.claim_off, l.area_size - l.claim_off);
            } else if (target == 'o') {
                add(&ranges, area, IVPCI_PAGE);
            }
        }
    }
    return ranges;
}

// What a clever liar would write.
uint64_t lie(std::mt19937_64& random, const ivpci_layout& l) {
    switch (random() % 8) {
        case 0:
            return ~0ULL;
        case 1:
            return 0;
        case 2:
            return l.size - 16 * (random() % 4);
        case 3:
            return ivpci_token(1 + random() % 1000, random() % 20, random() % IVPCI_DMBS);
        case 4:
            return random() % 70000;
        case 5:
            return 0x8000000080000000ULL;
        case 6:
            return l.chunk_off + (random() % l.chunks) * IVPCI_CHUNK_SIZE;
        default:
            return random();
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: scribble RESOURCE2 SLOTS SECONDS TARGETS\n");
        return 2;
    }
    const int fd = open(argv[1], O_RDWR | O_SYNC);
    struct stat st {};
    if (fd < 0 || fstat(fd, &st)) {
        std::fprintf(stderr, "scribble: %s: %s\n", argv[1], std::strerror(errno));
        return 3;
    }
    void* mapped = mmap(nullptr, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        std::fprintf(stderr, "scribble: mmap: %s\n", std::strerror(errno));
        return 3;
    }
    auto* memory = static_cast<uint8_t*>(mapped);
    ivpci_layout layout{};
    // not from the header: that may be garbage of ours already
    if (ivpci_layout_init(&layout, st.st_size, std::atoi(argv[2]))) {
        std::fprintf(stderr, "scribble: %lld bytes cannot have %s slots\n",
                     static_cast<long long>(st.st_size), argv[2]);
        return 3;
    }

    std::mt19937_64 random(20221);
    const auto ranges = ranges_of(layout, argv[4]);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[3]));
    uint64_t writes = 0;
    while (std::chrono::steady_clock::now() < end) {
        for (int i = 0; i < 1000; i++) {
            const Range& range = ranges[random() % ranges.size()];
            const uint64_t at = range.from + random() % (range.to - range.from) / 8 * 8;
            const uint64_t value = lie(random, layout);
            if (random() % 2) {
                __atomic_store_n(reinterpret_cast<uint64_t*>(memory + at), value, __ATOMIC_RELAXED);
            } else {
                __atomic_store_n(reinterpret_cast<uint32_t*>(memory + at + random() % 2 * 4),
                                 static_cast<uint32_t>(value), __ATOMIC_RELAXED);
            }
            writes++;
        }
        usleep(1000);
    }
    std::printf("%llu writes\n", static_cast<unsigned long long>(writes));
    return 0;
}
