// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_sysctls.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "agent/kernel/struct_ops.h"
#include "agent/kernel/sysctl.h"

namespace smc_steer {
namespace {

constexpr const char* kHsCtrl = "net.smc.hs_ctrl";
constexpr const char* kWmem = "net.smc.wmem";
constexpr const char* kRmem = "net.smc.rmem";

Result<int> read_number(const char* name) {
    auto text = read_sysctl(name);
    if (!text) {
        return tl::unexpected(text.error());
    }
    std::string_view digits = *text;
    int value = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{}) {
        return fail("sysctl {} is '{}', not a number", name, *text);
    }
    return value;
}

Result<std::optional<int>> raise(const char* name, int wanted) {
    auto before = read_number(name);
    if (!before) {
        return tl::unexpected(before.error());
    }
    if (*before >= wanted) {
        return std::nullopt;
    }
    if (auto done = write_sysctl(name, fmt::to_string(wanted)); !done) {
        return tl::unexpected(done.error());
    }
    return *before;
}

Result<void> lower_again(const char* name, int ours, const std::optional<int>& before) {
    if (!before) {
        return {};
    }
    auto now = read_number(name);
    if (!now) {
        return tl::unexpected(now.error());
    }
    if (*now != ours) {
        return {};
    }
    return write_sysctl(name, fmt::to_string(*before));
}

}  // namespace

Result<SavedSysctls> apply_sysctls(const SmcSysctls& wanted) {
    SavedSysctls saved;
    auto wmem = raise(kWmem, wanted.wmem);
    if (!wmem) {
        return tl::unexpected(wmem.error());
    }
    saved.wmem = *wmem;
    auto rmem = raise(kRmem, wanted.rmem);
    if (!rmem) {
        return tl::unexpected(rmem.error());
    }
    saved.rmem = *rmem;
    if (wanted.hs_ctrl.empty()) {
        return saved;
    }
    auto before = read_sysctl(kHsCtrl);
    if (!before) {
        return tl::unexpected(before.error());
    }
    if (!is_handshake_name(*before)) {
        saved.hs_ctrl = *before;
    }
    if (auto done = write_sysctl(kHsCtrl, wanted.hs_ctrl); !done) {
        return tl::unexpected(done.error());
    }
    return saved;
}

Result<void> restore_sysctls(const SmcSysctls& wanted, const SavedSysctls& saved) {
    if (!wanted.hs_ctrl.empty()) {
        auto now = read_sysctl(kHsCtrl);
        if (!now) {
            return tl::unexpected(now.error());
        }
        if (*now == wanted.hs_ctrl && !write_sysctl(kHsCtrl, saved.hs_ctrl)) {
            // The one before us is not registered any more: nothing is what is left.
            if (auto done = write_sysctl(kHsCtrl, ""); !done) {
                return tl::unexpected(done.error());
            }
        }
    }
    if (auto done = lower_again(kWmem, wanted.wmem, saved.wmem); !done) {
        return done;
    }
    return lower_again(kRmem, wanted.rmem, saved.rmem);
}

}  // namespace smc_steer
