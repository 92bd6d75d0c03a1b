// SPDX-License-Identifier: Apache-2.0
// libFuzzer over the driver's pure headers: the allocation map against a model, a ring whose other
// end writes whatever it likes, a header that anybody writes into. Invariants are checked with
// abort().
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/unit/kmod_accessors.h"
//
#include "kmod/ivpci_alloc.h"
#include "kmod/ivpci_identity.h"
#include "kmod/ivpci_ring.h"

namespace {

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

// Bytes of the input, one after the other; zeros when it is used up.
class Input {
public:
    Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
    [[nodiscard]] bool any() const { return left_ > 0; }
    template <class T>
    T take() {
        T value{};
        const size_t size = left_ < sizeof(value) ? left_ : sizeof(value);
        std::memcpy(&value, data_, size);
        data_ += size;
        left_ -= size;
        return value;
    }

private:
    const uint8_t* data_;
    size_t left_;
};

void alloc(Input input) {
    __u64 map = 0;
    __u64 model = 0;
    std::map<int, unsigned> held;  // first unit -> order
    while (input.any()) {
        const auto byte = input.take<uint8_t>();
        const unsigned order = byte % (IVPCI_CHUNK_ORDER + 1);
        if (byte & 0x80 && !held.empty()) {
            auto victim = held.lower_bound(byte & 63);
            victim = victim == held.end() ? held.begin() : victim;
            ivpci_run_give(&map, victim->first, victim->second);
            model &= ~(ivpci_run_mask(victim->second) << victim->first);
            held.erase(victim);
        } else if (const int unit = ivpci_run_take(&map, order); unit >= 0) {
            const __u64 run = ivpci_run_mask(order) << unit;
            require(unit % (1 << order) == 0 && (model & run) == 0);
            model |= run;
            held[unit] = order;
        } else {
            for (unsigned u = 0; u < IVPCI_UNITS_PER_CHUNK; u += 1U << order) {
                require((model & ivpci_run_mask(order) << u) != 0);  // there was none
            }
        }
        require(map == model);
        const auto len = input.take<__u64>();
        const int dmb = ivpci_dmb_order(len);
        require(dmb < 0 || len == __u64{IVPCI_DMB_UNIT} << dmb);
    }
}

// We are the producer, then the receiver, of a pair whose other end lies.
void ring(Input input) {
    static ivpci_pair pair;
    std::memset(&pair, 0, sizeof(pair));
    __u32 tail = 0;
    __u32 seen = 0;
    while (input.any()) {
        switch (input.take<uint8_t>() % 6) {
            case 0:
                pair.head = input.take<__u32>();
                break;
            case 1:
                pair.overflow = input.take<__u32>();
                break;
            case 2:
                pair.index[input.take<__u32>() % IVPCI_RING_SIZE] = input.take<__u32>();
                break;
            case 3: {
                const __u32 head = pair.head;
                const __u32 overflow = pair.overflow;
                const auto lie = input.take<__u32>();
                const bool pushed = ivpci_ring_push(&pair, &lie, 7);
                require(pushed == (head - lie < IVPCI_RING_SIZE));
                require(pair.head == head + (pushed ? 1 : 0));
                require(pair.overflow == overflow + (pushed ? 0 : 1));
                break;
            }
            default: {
                ivpci_ring_view view = ivpci_ring_look(&pair, &tail, &seen);
                require(view.to - view.from <= IVPCI_RING_SIZE);
                require(view.to == pair.head);
                require(view.serve_all ? view.from == view.to : view.from == tail);
                const auto most = input.take<__u32>();
                const __u32 all = view.to - view.from;
                ivpci_ring_limit(&view, most);
                require(view.to - view.from == (all < most ? all : most));
                if (view.to != pair.head) {
                    break;
                }
                ivpci_ring_served(&view, &tail, &seen);
                const ivpci_ring_view after = ivpci_ring_look(&pair, &tail, &seen);
                require(ivpci_ring_idle(&after));
            }
        }
    }
}

void identity(Input input) {
    // the words before broker_pid and not a byte more: what is read beyond is found
    constexpr size_t kSize = IVPCI_IDENTITY_WORDS * sizeof(ivpci_word);
    alignas(8) static std::array<uint8_t, sizeof(ivpci_header)> shown;
    static ivpci_header known;
    std::memset(&known, 0, sizeof(known));
    auto* header = reinterpret_cast<ivpci_header*>(shown.data());
    ivpci_identity_copy(&known, header);
    require(std::memcmp(&known, shown.data(), kSize) == 0);
    while (input.any()) {
        shown[input.take<uint8_t>() % shown.size()] ^= input.take<uint8_t>();
        const bool same = std::memcmp(&known, shown.data(), kSize) == 0;
        const char* name = ivpci_identity_differs(&known, header);
        require((name == nullptr) == same);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input input(data, size);
    switch (input.take<uint8_t>() % 3) {
        case 0:
            alloc(input);
            break;
        case 1:
            ring(input);
            break;
        default:
            identity(input);
    }
    return 0;
}
