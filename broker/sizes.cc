// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <bit>
#include <charconv>
#include <optional>

#include "broker/config.h"

namespace smc_steer::broker {
namespace {

constexpr uint64_t kMaxSize = uint64_t{IVPCI_CHUNKS_MAX} * IVPCI_CHUNK_SIZE;

std::string human_size(uint64_t bytes) {
    if (bytes != 0 && bytes % (1U << 30) == 0) {
        return fmt::format("{}G", bytes >> 30);
    }
    return bytes != 0 && bytes % (1U << 20) == 0 ? fmt::format("{}M", bytes >> 20)
                                                 : fmt::format("{}", bytes);
}

std::optional<uint64_t> smallest_size(uint32_t slots) {
    ivpci_layout layout;
    for (uint64_t size = IVPCI_CHUNK_SIZE; size <= kMaxSize; size *= 2) {
        if (ivpci_layout_init(&layout, size, slots) == 0) {
            return size;
        }
    }
    return std::nullopt;
}

}  // namespace

Result<mode_t> parse_mode(const std::string& text) {
    mode_t mode = 0;
    auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (err != std::errc() || end != text.data() + text.size() || mode > 0777) {
        return fail("{}: give permissions in octal, as 0660", text);
    }
    return mode;
}

// CLI11's converter alone would take "-5" for a very large number.
Result<uint64_t> parse_size(const std::string& text) {
    std::string number = text;
    uint64_t bytes = 0;
    bool good = !text.empty() && text.front() != '-';
    try {
        good = good && CLI::AsSizeValue(false)(number).empty();
    } catch (const CLI::ValidationError&) {
        good = false;
    }
    const char* last = number.data() + number.size();
    if (!good || std::from_chars(number.data(), last, bytes).ptr != last) {
        return fail("{}: give a number of bytes, with K, M or G, as 256M", text);
    }
    return bytes;
}

Result<ivpci_layout> make_layout(uint64_t size, uint32_t slots) {
    ivpci_layout layout{};
    if (!std::has_single_bit(size)) {
        return fail("{}: a PCI BAR must be a power of two, as 256M or 1G", human_size(size));
    }
    if (size > kMaxSize) {
        return fail("{}: at most {}", human_size(size), human_size(kMaxSize));
    }
    if (ivpci_layout_init(&layout, size, slots) != 0) {
        auto minimum = smallest_size(slots);
        return fail("{}: too small for {} slots, at least {} is needed", human_size(size), slots,
                    minimum ? human_size(*minimum) : "?");
    }
    return layout;
}

}  // namespace smc_steer::broker
