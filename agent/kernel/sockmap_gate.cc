// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/sockmap_gate.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <compare>
#include <cstdio>

namespace smc_steer {
namespace {

struct Version {
    int major = 0, minor = 0, stable = 0;
    auto operator<=>(const Version&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

// Commits of the mainline kernel. `fixed`: the first stable release that has it; the table is of
// what our programs can reach (bpf/join.bpf.c: no apply, cork, push or pull, no SMC, no MPTCP).
struct Bug {
    Version fixed;
    const char* what;
};
constexpr Bug kBugs61[] = {
    {{6, 1, 95}, "close() races the last reference to a socket in a sockmap (4b4647add7d3)"},
    {{6, 1, 123}, "what is passed on is not accounted for (54f89b3178d5, d888b7af7c14)"},
    {{6, 1, 125}, "replacing an entry of a sockmap races close() (ed1fc5d76b81)"},
    {{6, 1, 159}, "MPTCP subflows get into a sockmap (fbade4bd08ba)"},
};
constexpr Bug kBugs612[] = {
    {{6, 12, 60}, "MPTCP subflows get into a sockmap (fbade4bd08ba)"},
};

std::optional<Version> parse(const std::string& text) {
    Version v;
    if (std::sscanf(text.c_str(), "%d.%d.%d", &v.major, &v.minor, &v.stable) < 2) {
        return std::nullopt;
    }
    return v;
}

std::optional<Version> version_of(const std::string& release, const std::string& version) {
    constexpr std::string_view kDebian = "Debian ";
    if (auto at = version.find(kDebian); at != std::string::npos) {
        return parse(version.substr(at + kDebian.size()));
    }
    return parse(release);
}

template <std::size_t N>
std::optional<std::string> first_bug(const Version& now, const Bug (&bugs)[N]) {
    for (const auto& bug : bugs) {
        if (now < bug.fixed) {
            return fmt::format("{}.{}.{}: {}, fixed in {}.{}.{}", now.major, now.minor, now.stable,
                               bug.what, bug.fixed.major, bug.fixed.minor, bug.fixed.stable);
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::string> sockmap_refused(const std::string& release, const std::string& version) {
    auto now = version_of(release, version);
    if (!now) {
        return fmt::format("{}: no version that is known", release);
    }
    if (now->major == 6 && now->minor == 1) {
        return first_bug(*now, kBugs61);
    }
    if (now->major == 6 && now->minor == 12) {
        return first_bug(*now, kBugs612);
    }
    if (*now >= Version{6, 18, 0}) {
        return std::nullopt;
    }
    return fmt::format(
        "{}.{}.{}: not one of the kernels that were looked at (6.1, 6.12, 6.18 and "
        "later)",
        now->major, now->minor, now->stable);
}

std::optional<std::string> sockmap_refused() {
    utsname name{};
    uname(&name);
    return sockmap_refused(name.release, name.version);
}

}  // namespace smc_steer
