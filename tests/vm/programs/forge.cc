// SPDX-License-Identifier: Apache-2.0
// forge: a hostile member of a region that knows what it wants. Reads the DMBs of another member,
// and writes into the header of one of them what its writer never said.
//
//   forge DEVICE SLOTS list OWNER
//       a JSON list of OWNER's DMBs: index, offset, len, writer, and what the header says
//   forge DEVICE SLOTS lie OWNER INDEX PROD_WRAP PROD_COUNT CONS_WRAP CONS_COUNT FLAGS STATE
//       writes the two cursors of that header, the flags with the second one, and makes OWNER look
//   forge DEVICE SLOTS length OWNER INDEX LEN...
//       what OWNER's descriptors say of DMBs' lengths, again and again until it is killed; says
//       "lying" when it has said so once
//   forge DEVICE SLOTS word OWNER INDEX OFFSET VALUE
//       writes 8 bytes anywhere into the DMB, and makes OWNER look
//
// DEVICE: the ivshmem device's directory in sysfs. The header is net/smc's (smc_cdc.h, struct
// smcd_cdc_msg): 8 bytes, then two cursors {u16 wrap; u32 count; u8 flags; u8 state}.
#include <fcntl.h>
#include <ivpci/shm_abi.h>
#include <ivshmem/protocol.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

constexpr uint64_t kProducer = 8;  // offsets in the header
constexpr uint64_t kConsumer = 16;
constexpr size_t kRegisters = 4096;

struct Region {
    uint8_t* memory = nullptr;
    volatile uint32_t* doorbell = nullptr;
    ivpci_layout layout{};

    [[nodiscard]] auto* descriptor(uint32_t owner, uint32_t index) const {
        const uint64_t at = ivpci_area(&layout, owner) + layout.desc_off;
        return reinterpret_cast<ivpci_dmb_desc*>(memory + at) + index;
    }
    [[nodiscard]] auto* control(uint32_t slot) const {
        return reinterpret_cast<ivpci_ctl*>(memory + ivpci_area(&layout, slot));
    }
    [[nodiscard]] auto* pair(uint32_t producer, uint32_t receiver) const {
        const uint64_t at = ivpci_area(&layout, producer) + layout.pair_off;
        return reinterpret_cast<ivpci_pair*>(memory + at) + receiver;
    }
};

void* map(const std::string& path, size_t size) {
    const int fd = open(path.c_str(), O_RDWR | O_SYNC);
    struct stat st {};
    if (fd < 0 || fstat(fd, &st)) return nullptr;
    void* mapped =
        mmap(nullptr, size ? size : st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return mapped == MAP_FAILED ? nullptr : mapped;
}

uint64_t size_of(const std::string& path) {
    struct stat st {};
    return stat(path.c_str(), &st) ? 0 : st.st_size;
}

// BAR 0 is smaller than a page and need not begin with one.
uint64_t registers_in_page(const std::string& device) {
    FILE* file = std::fopen((device + "/resource").c_str(), "re");
    uint64_t start = 0;
    if (!file || std::fscanf(file, "%" SCNx64, &start) != 1) start = 0;
    if (file) std::fclose(file);
    return start % kRegisters;
}

bool open_region(const std::string& device, uint32_t slots, Region* region) {
    const std::string bar = device + "/resource2";
    region->memory = static_cast<uint8_t*>(map(bar, 0));
    auto* registers = static_cast<uint8_t*>(map(device + "/resource0", kRegisters));
    if (!region->memory || !registers) return false;
    region->doorbell = reinterpret_cast<volatile uint32_t*>(registers + registers_in_page(device) +
                                                            IVSHMEM_REG_DOORBELL);
    return !ivpci_layout_init(&region->layout, size_of(bar), slots);
}

uint64_t load(const uint8_t* at) {
    return __atomic_load_n(reinterpret_cast<const uint64_t*>(at), __ATOMIC_RELAXED);
}

void store(uint8_t* at, uint64_t value) {
    __atomic_store_n(reinterpret_cast<uint64_t*>(at), value, __ATOMIC_SEQ_CST);
}

uint64_t cursor(uint64_t wrap, uint64_t count, uint64_t flags, uint64_t state) {
    return (wrap & 0xffff) | (count & 0xffffffff) << 16 | (flags & 0xff) << 48 | state << 56;
}

void print_cursor(const char* name, uint64_t word) {
    std::printf(", \"%s\": [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", name,
                word & 0xffff, word >> 16 & 0xffffffff, word >> 48 & 0xff, word >> 56);
}

int list(const Region& region, uint32_t owner) {
    const char* before = "[";
    for (uint32_t index = 0; index < IVPCI_DMBS; index++) {
        const ivpci_dmb_desc desc = *region.descriptor(owner, index);
        if (!desc.token || desc.offset + desc.len > region.layout.size) continue;
        std::printf("%s{\"index\": %u, \"offset\": %llu, \"len\": %u, \"writer\": %u", before,
                    index, static_cast<unsigned long long>(desc.offset), desc.len, desc.writer);
        print_cursor("prod", load(region.memory + desc.offset + kProducer));
        print_cursor("cons", load(region.memory + desc.offset + kConsumer));
        std::printf("}");
        before = ", ";
    }
    std::printf("%s]\n", *before == '[' ? "[" : "");
    return 0;
}

// "I could not tell you all": the owner looks at every DMB of that writer. The writer's kernel does
// not touch this word unless its ring is full, so nothing of its own gets lost.
void make_look(const Region& region, uint32_t owner, uint32_t writer) {
    __atomic_fetch_add(&region.pair(writer, owner)->overflow, 1, __ATOMIC_SEQ_CST);
    *region.doorbell = owner << 16 | ivpci_vector(writer, region.control(owner)->vectors);
}

int lie(const Region& region, uint32_t owner, uint32_t index, const uint64_t* words) {
    const ivpci_dmb_desc desc = *region.descriptor(owner, index);
    if (!desc.token) {
        std::fprintf(stderr, "forge: member %u has no DMB %u\n", owner, index);
        return 3;
    }
    store(region.memory + desc.offset + kProducer, cursor(words[0], words[1], 0, 0));
    store(region.memory + desc.offset + kConsumer, cursor(words[2], words[3], words[4], words[5]));
    make_look(region, owner, desc.writer);
    return 0;
}

int length(const Region& region, uint32_t owner, char** pairs, int count) {
    for (bool first = true;; first = false) {
        for (int i = 0; i + 1 < count; i += 2) {
            auto* desc = region.descriptor(owner, std::strtoul(pairs[i], nullptr, 0));
            const __u32 len = std::strtoul(pairs[i + 1], nullptr, 0);
            __atomic_store_n(&desc->len, len, __ATOMIC_SEQ_CST);
        }
        if (first) {
            std::puts("lying");
            std::fflush(stdout);
        }
        usleep(200);
    }
}

int word(const Region& region, uint32_t owner, uint32_t index, uint64_t offset, uint64_t value) {
    const ivpci_dmb_desc desc = *region.descriptor(owner, index);
    if (!desc.token || offset > desc.len - sizeof(value)) return 3;
    store(region.memory + desc.offset + offset, value);
    make_look(region, owner, desc.writer);
    return 0;
}

int usage() {
    std::fprintf(stderr,
                 "usage: forge DEVICE SLOTS list OWNER\n"
                 "       forge DEVICE SLOTS lie OWNER INDEX PROD_WRAP PROD_COUNT CONS_WRAP "
                 "CONS_COUNT FLAGS STATE\n"
                 "       forge DEVICE SLOTS length OWNER INDEX LEN...\n"
                 "       forge DEVICE SLOTS word OWNER INDEX OFFSET VALUE\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) return usage();
    const std::string_view mode = argv[3];
    uint64_t words[8] = {};
    for (int i = 4; i < argc && i < 12; i++) words[i - 4] = std::strtoull(argv[i], nullptr, 0);
    Region region;
    if (!open_region(argv[1], std::strtoul(argv[2], nullptr, 10), &region)) {
        std::fprintf(stderr, "forge: %s: %s\n", argv[1], std::strerror(errno));
        return 3;
    }
    if (words[0] < 1 || words[0] > region.layout.slots || words[1] >= IVPCI_DMBS) return usage();
    const auto owner = static_cast<uint32_t>(words[0]);
    const auto index = static_cast<uint32_t>(words[1]);
    if (mode == "list" && argc == 5) return list(region, owner);
    if (mode == "lie" && argc == 12) return lie(region, owner, index, words + 2);
    if (mode == "length" && argc >= 7) return length(region, owner, argv + 5, argc - 5);
    if (mode == "word" && argc == 8) return word(region, owner, index, words[2], words[3]);
    return usage();
}
