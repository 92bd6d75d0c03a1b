// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/workload.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>

namespace smc_steer {
namespace {

constexpr std::size_t kPathMost = 1024;
constexpr std::size_t kCommandMost = 15;
constexpr std::size_t kPodMost = 512, kPodSpaceMost = 63;
constexpr std::size_t kContainerLeast = 12, kContainerMost = 64;

bool only(std::string_view text, bool (*good)(unsigned char)) {
    return !text.empty() && std::all_of(text.begin(), text.end(), good);
}

bool printable(unsigned char c) { return c >= 0x20 && c != 0x7f; }
bool digit(unsigned char c) { return c >= '0' && c <= '9'; }
bool hex(unsigned char c) { return digit(c) || (c >= 'a' && c <= 'f'); }
bool letter(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool of_name(unsigned char c) { return letter(c) || digit(c) || c == '_' || c == '.' || c == '-'; }
bool of_unit(unsigned char c) { return of_name(c) || c == ':' || c == '@' || c == '\\'; }

Result<void> check_cgroup(std::string_view path) {
    std::string closed = std::string(path) + "/";
    if (!path.starts_with('/') || closed.find("/../") != std::string::npos ||
        path.size() > kPathMost || !only(path, printable)) {
        return fail(
            "'{}' is not a cgroup: write its path below /sys/fs/cgroup, such as /system.slice/*",
            path);
    }
    return {};
}

Result<void> check_unit(std::string_view unit) {
    bool known = unit.ends_with(".service") || unit.ends_with(".scope") || unit.ends_with(".slice");
    if (!known || !only(unit, of_unit)) {
        return fail("'{}' is not a unit with processes: write one such as nginx.service", unit);
    }
    return {};
}

Result<void> check_container(std::string_view id) {
    if (id.size() < kContainerLeast || id.size() > kContainerMost || !only(id, hex)) {
        return fail("'{}' is not a container's id: write 12 to 64 of its hexadecimal digits", id);
    }
    return {};
}

// A part of a Kubernetes name, or a glob for several.
bool of_pod(unsigned char c) {
    return of_name(c) || c == '*' || c == '?' || c == '[' || c == ']' || c == '!';
}

Result<void> check_pod(std::string_view value) {
    auto slash = value.find('/');
    if (slash == std::string_view::npos || value.size() > kPodMost ||
        !only(value.substr(0, slash), of_pod) || !only(value.substr(slash + 1), of_pod)) {
        return fail("'{}' is not a pod: write NAMESPACE/NAME, such as shop/web-*", value);
    }
    return {};
}

Result<void> check_pod_space(std::string_view name) {
    if (!only(name, of_name) || name.size() > kPodSpaceMost) {
        return fail("'{}' is not a Kubernetes namespace: write its name", name);
    }
    return {};
}

Result<void> check_label(std::string_view label) {
    auto equals = label.find('=');
    auto key = label.substr(0, equals);
    auto of_key = [](unsigned char c) { return of_name(c) || c == '/'; };
    bool good = equals != std::string_view::npos && label.size() <= kPodMost && only(key, of_key) &&
                (label.size() == equals + 1 || only(label.substr(equals + 1), of_name));
    if (!good) {
        return fail("'{}' is not a label: write KEY=VALUE, such as app=web", label);
    }
    return {};
}

Result<std::uint64_t> parse_number(std::string_view text, std::uint64_t most) {
    std::uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!only(text, digit) || error != std::errc() || number > most) {
        return fail("'{}' is not a number from 0 to {}", text, most);
    }
    return number;
}

Result<void> check_netns(std::string_view name) {
    if (!only(name, of_name) || name.size() > 255 || name == "." || name == "..") {
        return fail(
            "'{}' is not a network namespace: write its name below /run/netns or the number in "
            "net:[NUMBER]",
            name);
    }
    return {};
}

Result<void> check_command(std::string_view name) {
    if (!only(name, printable) || name.size() > kCommandMost ||
        name.find('/') != std::string_view::npos) {
        return fail("'{}' is not a command's name: write 1 to 15 bytes, as in /proc/PID/comm",
                    name);
    }
    return {};
}

std::string_view last_component(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// "ID", "docker-ID.scope", "cri-containerd-ID.scope", "libpod-ID"
bool names_container(std::string_view directory, std::string_view id) {
    for (auto at = directory.find(id); at != std::string_view::npos;
         at = directory.find(id, at + 1)) {
        if (at == 0 || directory[at - 1] == '-') {
            return true;
        }
    }
    return false;
}

}  // namespace

std::string_view to_string(WorkloadKind kind) {
    return kWorkloadKinds[static_cast<std::size_t>(kind)].first;
}

Result<Workload> make_workload(WorkloadKind kind, std::string_view value) {
    Result<void> good;
    Workload workload{kind, std::string(value)};
    switch (kind) {
        case WorkloadKind::cgroup:
            good = check_cgroup(value);
            // "/a/" is "/a"
            if (good && value.size() > 1 && value.ends_with('/')) {
                workload.value.pop_back();
            }
            break;
        case WorkloadKind::unit:
            good = check_unit(value);
            break;
        case WorkloadKind::container:
            good = check_container(value);
            break;
        case WorkloadKind::pod:
            good = check_pod(value);
            break;
        case WorkloadKind::pod_space:
            good = check_pod_space(value);
            break;
        case WorkloadKind::label:
            good = check_label(value);
            break;
        case WorkloadKind::uid: {
            auto uid = parse_number(value, UINT32_MAX - 1);
            if (!uid) {
                return tl::unexpected(uid.error());
            }
            workload.value = fmt::format("{}", *uid);
            break;
        }
        case WorkloadKind::netns:
            good = check_netns(value);
            break;
        case WorkloadKind::command:
            good = check_command(value);
            break;
    }
    if (!good) {
        return tl::unexpected(good.error());
    }
    return workload;
}

Result<Workload> parse_workload(std::string_view text) {
    auto colon = text.find(':');
    if (colon != std::string_view::npos) {
        for (const auto& [name, kind] : kWorkloadKinds) {
            if (text.substr(0, colon) == name) {
                return make_workload(kind, text.substr(colon + 1));
            }
        }
    }
    return fail(
        "'{}' is not a workload: write cgroup:, unit:, container:, pod:, namespace:, label:, uid:, "
        "netns: or command: and which one",
        text);
}

std::string to_string(const Workload& workload) {
    return fmt::format("{}:{}", to_string(workload.kind), workload.value);
}

bool names_cgroup(const Workload& workload, std::string_view path) {
    switch (workload.kind) {
        case WorkloadKind::cgroup:
            return fnmatch(workload.value.c_str(), std::string(path).c_str(), FNM_PATHNAME) == 0;
        case WorkloadKind::unit:
            return last_component(path) == workload.value;
        case WorkloadKind::container:
            return names_container(last_component(path), workload.value);
        default:
            return false;
    }
}

bool is_around(const Workload& workload, std::string path) {
    for (; !path.empty(); path = around(path)) {
        if (names_cgroup(workload, path)) {
            return true;
        }
    }
    return names_cgroup(workload, "/");
}

bool names_pod(const Workload& workload, const Pod& pod) {
    auto slash = workload.value.find('/');
    auto equals = workload.value.find('=');
    switch (workload.kind) {
        case WorkloadKind::pod:
            return fnmatch(workload.value.substr(0, slash).c_str(), pod.space.c_str(), 0) == 0 &&
                   fnmatch(workload.value.substr(slash + 1).c_str(), pod.name.c_str(), 0) == 0;
        case WorkloadKind::pod_space:
            return pod.space == workload.value;
        case WorkloadKind::label: {
            auto label = pod.labels.find(workload.value.substr(0, equals));
            return label != pod.labels.end() && label->second == workload.value.substr(equals + 1);
        }
        default:
            return false;
    }
}

}  // namespace smc_steer
