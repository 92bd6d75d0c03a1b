// SPDX-License-Identifier: Apache-2.0
// Bytes that both ends can make: byte `at` of stream `seed`, whatever the pieces are it travels in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace semantics {

inline uint64_t pattern_word(uint64_t seed, uint64_t index) {
    uint64_t word = seed * 0x9e3779b97f4a7c15ULL + index * 0xbf58476d1ce4e5b9ULL;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL;
    return word ^ (word >> 31);
}

inline std::vector<uint8_t> pattern(uint64_t seed, size_t size, uint64_t from = 0) {
    std::vector<uint8_t> bytes(size);
    uint64_t word = 0;
    for (size_t i = 0; i < size; ++i) {
        const uint64_t at = from + i;
        if (i == 0 || at % 8 == 0) {
            word = pattern_word(seed, at / 8);
        }
        bytes[i] = static_cast<uint8_t>(word >> (8 * (at % 8)));
    }
    return bytes;
}

}  // namespace semantics
