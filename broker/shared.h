// SPDX-License-Identifier: Apache-2.0
// Access to words that other virtual machines see or write. Words of the guests are hostile: each
// is read once, with one of these, into a local that is then checked.
#ifndef SMC_STEER_BROKER_SHARED_H
#define SMC_STEER_BROKER_SHARED_H

#include <ivpci/shm_abi.h>

#include <atomic>
#include <bit>
#include <cstddef>

namespace smc_steer::broker {

static_assert(std::endian::native == std::endian::little, "the region is little-endian");
static_assert(std::atomic_ref<__u32>::is_always_lock_free);
static_assert(std::atomic_ref<__u64>::is_always_lock_free);

template <class T>
T load_relaxed(T& word) {
    return std::atomic_ref<T>(word).load(std::memory_order_relaxed);
}

template <class T>
T load_acquire(T& word) {
    return std::atomic_ref<T>(word).load(std::memory_order_acquire);
}

template <class T>
void store_relaxed(T& word, T value) {
    std::atomic_ref<T>(word).store(value, std::memory_order_relaxed);
}

template <class T>
void store_release(T& word, T value) {
    std::atomic_ref<T>(word).store(value, std::memory_order_release);
}

// Makes a word what it should be; 1 if it was not.
template <class T>
unsigned put_right(T& word, T value) {
    if (load_relaxed(word) == value) {
        return 0;
    }
    store_release(word, value);
    return 1;
}

// A mapped region with its layout; owns neither. Slots and offsets must be in range already.
struct RegionView {
    std::byte* base = nullptr;
    ivpci_layout layout{};

    [[nodiscard]] ivpci_header& header() const { return *reinterpret_cast<ivpci_header*>(base); }
    [[nodiscard]] __u32* leases() const {
        return reinterpret_cast<__u32*>(base + layout.lease_off);
    }
    [[nodiscard]] ivpci_ctl& ctl(__u32 slot) const {
        return *reinterpret_cast<ivpci_ctl*>(base + ivpci_area(&layout, slot));
    }
    // The claims of `writer` on DMBs of `owner`: IVPCI_DMBS words.
    [[nodiscard]] __u32* claims(__u32 writer, __u32 owner) const {
        return reinterpret_cast<__u32*>(base + ivpci_area(&layout, writer) + layout.claim_off) +
               static_cast<size_t>(owner) * IVPCI_DMBS;
    }
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_SHARED_H
