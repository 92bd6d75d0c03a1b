// SPDX-License-Identifier: Apache-2.0
// RFC 4648, with padding. What is no base64 decodes to what comes before it.
#ifndef SMC_STEER_TESTS_VM_PROGRAMS_GUEST_BASE64_H
#define SMC_STEER_TESTS_VM_PROGRAMS_GUEST_BASE64_H

#include <cstdint>
#include <string>
#include <string_view>

namespace guest {

inline constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

inline std::string encode(std::string_view data) {
    std::string text;
    text.reserve((data.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < data.size(); at += 3) {
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 3; i++) {
            bits =
                bits << 8 | (at + i < data.size() ? static_cast<unsigned char>(data[at + i]) : 0);
        }
        for (std::size_t i = 0; i < 4; i++) {
            text += at + i > data.size() ? '=' : kBase64[bits >> (18 - 6 * i) & 63];
        }
    }
    return text;
}

inline std::string decode(std::string_view text) {
    std::string data;
    std::uint32_t bits = 0;
    int count = 0;
    for (char c : text) {
        auto value = kBase64.find(c);
        if (value == std::string_view::npos) {
            break;
        }
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        count += 6;
        if (count >= 8) {
            count -= 8;
            data += static_cast<char>(bits >> count & 255);
        }
    }
    return data;
}

}  // namespace guest

#endif  // SMC_STEER_TESTS_VM_PROGRAMS_GUEST_BASE64_H
