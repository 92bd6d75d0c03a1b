// SPDX-License-Identifier: Apache-2.0
#include "agent/peers/region.h"

#include <algorithm>
#include <cstring>

namespace smc_steer {
namespace {

constexpr int kBulletinTries = 16;

template <typename T>
T read_once(const T& word) {
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
}

template <typename T>
void write_once(T& word, T value) {
    __atomic_store_n(&word, value, __ATOMIC_RELAXED);
}

// Word by word, not memcpy, which the compiler may repeat or move around the sequence count.
using Word __attribute__((may_alias)) = std::uint32_t;
static_assert(sizeof(ivpci_bulletin) % sizeof(Word) == 0);

void copy_words(ivpci_bulletin& to, const ivpci_bulletin& from) {
    auto* target = reinterpret_cast<Word*>(&to);
    const auto* source = reinterpret_cast<const Word*>(&from);
    for (std::size_t i = 0; i < sizeof(to) / sizeof(Word); i++) {
        write_once(target[i], read_once(source[i]));
    }
}

std::string printable(const char* text, std::size_t room) {
    std::string name(text, strnlen(text, room));
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return name;
}

}  // namespace

Result<RegionView> view_region(const void* base, std::uint64_t size, std::uint32_t slots) {
    RegionView region;
    region.base = static_cast<const std::byte*>(base);
    if (ivpci_layout_init(&region.layout, size, slots) != 0) {
        return fail("a region of {} bytes with {} slots does not exist", size, slots);
    }

    const auto& header = *static_cast<const ivpci_header*>(base);
    const auto& layout = region.layout;
    if (__atomic_load_n(&header.magic, __ATOMIC_ACQUIRE) != IVPCI_SHM_MAGIC) {
        return fail("the shared memory has no region in it: is an ivpci-broker behind it?");
    }
    if (read_once(header.version) != IVPCI_SHM_VERSION) {
        return fail("the region has version {}, this agent reads {}", read_once(header.version),
                    IVPCI_SHM_VERSION);
    }
    if (read_once(header.size) != layout.size || read_once(header.slots) != layout.slots ||
        read_once(header.area_off) != layout.area_off ||
        read_once(header.area_size) != layout.area_size ||
        read_once(header.chunk_off) != layout.chunk_off) {
        return fail("the region's header contradicts its size of {} bytes and {} slots", size,
                    slots);
    }
    return region;
}

Membership read_slot(const RegionView& region, std::uint32_t slot) {
    Membership membership;
    if (slot < 1 || slot > region.layout.slots) {
        return membership;
    }
    const auto& words = reinterpret_cast<const ivpci_header*>(region.base)->slot[slot];
    membership.state = __atomic_load_n(&words.state, __ATOMIC_ACQUIRE);
    membership.generation = read_once(words.generation);
    membership.gid = read_once(words.gid);
    return membership;
}

const ivpci_bulletin& bulletin_of(const RegionView& region, std::uint32_t slot) {
    auto offset = ivpci_area(&region.layout, slot) + region.layout.bulletin_off;
    return *reinterpret_cast<const ivpci_bulletin*>(region.base + offset);
}

std::optional<Bulletin> read_bulletin(const ivpci_bulletin& shared) {
    ivpci_bulletin copy;
    for (int i = 0;; i++) {
        if (i == kBulletinTries) {
            return std::nullopt;
        }
        std::uint32_t before = __atomic_load_n(&shared.seq, __ATOMIC_ACQUIRE);
        if (before & 1) {
            continue;
        }
        copy_words(copy, shared);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (read_once(shared.seq) == before) {
            break;
        }
    }
    Bulletin bulletin;
    bulletin.agent_version = copy.agent_version;
    bulletin.link_port = static_cast<std::uint16_t>(copy.link_port);
    bulletin.offload_port = static_cast<std::uint16_t>(copy.offload_port);
    std::copy(std::begin(copy.nonce), std::end(copy.nonce), bulletin.nonce.begin());
    bulletin.name = printable(copy.name, sizeof(copy.name));
    std::uint32_t count = std::min<std::uint32_t>(copy.count, IVPCI_BULLETIN_ADDRESSES);
    bulletin.addresses.reserve(count);
    for (std::uint32_t i = 0; i < count; i++) {
        bulletin.addresses.push_back(Address::from_bytes(copy.address[i].in6));
    }
    return bulletin;
}

void write_bulletin(ivpci_bulletin& shared, const Bulletin& bulletin) {
    ivpci_bulletin words{};
    words.agent_version = bulletin.agent_version;
    words.link_port = bulletin.link_port;
    words.offload_port = bulletin.offload_port;
    std::copy(bulletin.nonce.begin(), bulletin.nonce.end(), std::begin(words.nonce));
    std::memcpy(words.name, bulletin.name.data(),
                std::min(bulletin.name.size(), sizeof(words.name)));
    auto count = std::min<std::size_t>(bulletin.addresses.size(), IVPCI_BULLETIN_ADDRESSES);
    words.count = static_cast<std::uint32_t>(count);
    for (std::size_t i = 0; i < count; i++) {
        std::memcpy(words.address[i].in6, bulletin.addresses[i].in6.data(), 16);
    }

    words.seq = read_once(shared.seq) | 1;
    write_once(shared.seq, words.seq);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    copy_words(shared, words);
    __atomic_store_n(&shared.seq, words.seq + 1, __ATOMIC_RELEASE);
}

}  // namespace smc_steer
