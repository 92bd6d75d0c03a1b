// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/config.h"

#include <fmt/format.h>
#include <smc_steer/services_abi.h>

#include <charconv>
#include <cstdint>

#include "agent/base/http.h"
#include "agent/kernel/eid.h"
#include "agent/policy/ports.h"
#include "agent/policy/yaml.h"

namespace smc_steer {
namespace {

constexpr const char* kSpliceIsGone =
    "splice: gone: the direct path serves what it was for, see OPERATIONS.md, \"Which path\"";

Result<void> read_size(const YAML::Node& root, const std::string& name, const char* key, int& out) {
    auto node = root[key];
    if (!node) {
        return {};
    }
    auto text = yaml_string(node, name, key);
    if (!text) {
        return tl::unexpected(text.error());
    }
    auto size = parse_size(*text);
    if (!size) {
        return yaml_error(node, name, fmt::format("{}: {}", key, size.error().message));
    }
    out = *size;
    return {};
}

Result<void> read_device(const YAML::Node& root, const std::string& name, Config& config) {
    auto node = root["device"];
    if (!node) {
        return {};
    }
    auto text = yaml_string(node, name, "device");
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (*text != "auto" && !text->starts_with("/dev/")) {
        return yaml_error(
            node, name,
            fmt::format("device: must be auto or a path such as /dev/ivpci0, not '{}'", *text));
    }
    config.device = *text;
    return {};
}

Result<void> read_port(const YAML::Node& section, const std::string& name, const char* key,
                       std::uint16_t& out) {
    auto node = section.IsMap() ? section[key] : YAML::Node();
    if (!node || node.IsNull()) {
        return {};
    }
    auto text = yaml_string(node, name, key);
    if (!text) {
        return tl::unexpected(text.error());
    }
    auto range = parse_port_range(*text);
    if (!range || range->first != range->last) {
        return yaml_error(node, name,
                          fmt::format("{}: '{}' is not a port: 1 to 65535", key, *text));
    }
    out = range->first;
    return {};
}

// A map with no other keys than these; null: the file does not have it.
Result<YAML::Node> read_section(const YAML::Node& root, const std::string& name,
                                const char* section, std::initializer_list<std::string_view> keys) {
    auto node = root[section];
    if (!node) {
        return YAML::Node();
    }
    if (!node.IsMap()) {
        return yaml_error(node, name, fmt::format("{}: must be a map", section));
    }
    if (auto known = yaml_known_keys(node, name, keys); !known) {
        return tl::unexpected(known.error());
    }
    return node;
}

// Of a section that read_section() has accepted; none where it has no such key.
Result<std::vector<std::string>> read_list(const YAML::Node& section, const std::string& name,
                                           const char* key) {
    if (!section.IsMap() || !section[key]) {
        return std::vector<std::string>{};
    }
    return yaml_strings(section[key], name, key);
}

Result<void> read_workloads(const YAML::Node& root, const std::string& name, Config& config) {
    auto node = root["workloads"];
    if (!node) {
        return {};
    }
    if (node.IsScalar() && node.Scalar() == "all") {
        config.workloads = all_workloads();
        return {};
    }
    if (node.IsScalar() && node.Scalar() == "containers") {
        config.workloads = container_cgroups();
        return {};
    }
    if (!node.IsMap()) {
        return yaml_error(node, name,
                          "workloads: must be all, containers or a map such as {cgroups: [/a]}");
    }
    auto section = read_section(root, name, "workloads", {"cgroups"});
    if (!section) {
        return tl::unexpected(section.error());
    }
    auto cgroups = read_list(*section, name, "cgroups");
    if (!cgroups) {
        return tl::unexpected(cgroups.error());
    }
    if (cgroups->empty()) {
        return yaml_error(node, name, "workloads: cgroups: the list is empty");
    }
    config.workloads.clear();
    for (const auto& path : *cgroups) {
        auto workload = make_workload(WorkloadKind::cgroup, path);
        if (!workload) {
            return yaml_error(node["cgroups"], name, "cgroups: " + workload.error().message);
        }
        config.workloads.push_back(std::move(*workload));
    }
    return {};
}

Result<void> read_words(const YAML::Node& root, const std::string& name, Config& config) {
    if (auto node = root["eid"]) {
        auto text = yaml_string(node, name, "eid");
        if (!text) {
            return tl::unexpected(text.error());
        }
        if (*text != "auto") {
            if (auto good = check_eid(*text); !good) {
                return yaml_error(node, name, "eid: " + good.error().message);
            }
        }
        config.eid = *text;
    }
    if (auto node = root["when_unsupported"]) {
        auto text = yaml_string(node, name, "when_unsupported");
        if (!text) {
            return tl::unexpected(text.error());
        }
        if (*text != "exit" && *text != "idle") {
            return yaml_error(
                node, name, fmt::format("when_unsupported: must be exit or idle, not '{}'", *text));
        }
        config.when_unsupported = *text == "idle" ? WhenUnsupported::idle : WhenUnsupported::exit;
    }
    return {};
}

// Leaves `out` alone where the section has no such key.
Result<void> read_word(const YAML::Node& section, const std::string& name, const char* key,
                       std::string& out) {
    if (!section.IsMap() || !section[key]) {
        return {};
    }
    auto text = yaml_string(section[key], name, key);
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (text->empty()) {
        return yaml_error(section[key], name, fmt::format("{}: is empty", key));
    }
    out = *text;
    return {};
}

// "on" or "off"; leaves `out` alone where the section has no such key.
Result<void> read_switch(const YAML::Node& section, const std::string& name, const char* key,
                         bool& out) {
    std::string word = out ? "on" : "off";
    if (auto done = read_word(section, name, key, word); !done) {
        return done;
    }
    if (word != "on" && word != "off") {
        return yaml_error(section[key], name,
                          fmt::format("{}: must be on or off, not '{}'", key, word));
    }
    out = word == "on";
    return {};
}

Result<void> read_pods(const YAML::Node& root, const std::string& name, Config& config) {
    auto section = read_section(root, name, "pods", {"default"});
    if (!section) {
        return tl::unexpected(section.error());
    }
    if (auto done = read_switch(*section, name, "default", config.pods); !done) {
        return done;
    }
    std::string cri = config.cri;
    if (auto done = read_word(root, name, "cri", cri); !done) {
        return done;
    }
    constexpr std::string_view kUnix = "unix://";
    if (cri.starts_with(kUnix)) {
        cri.erase(0, kUnix.size());
    }
    // as long as the address of a socket may be
    bool path = cri.starts_with('/') && cri.size() < 108;
    if (cri != "auto" && cri != "off" && !path) {
        return yaml_error(root["cri"], name,
                          fmt::format("cri: must be auto, off or a runtime's socket such as "
                                      "unix:///run/containerd/containerd.sock, not '{}'",
                                      cri));
    }
    config.cri = std::move(cri);
    return {};
}

Result<void> read_publish(const YAML::Node& root, const std::string& name, Config& config) {
    auto section = read_section(root, name, "publish", {"exclude_interfaces", "exclude_networks"});
    if (!section) {
        return tl::unexpected(section.error());
    }
    auto interfaces = read_list(*section, name, "exclude_interfaces");
    if (!interfaces) {
        return tl::unexpected(interfaces.error());
    }
    config.exclude_interfaces.insert(interfaces->begin(), interfaces->end());
    auto networks = read_list(*section, name, "exclude_networks");
    if (!networks) {
        return tl::unexpected(networks.error());
    }
    for (const auto& text : *networks) {
        auto network = parse_cidr(text);
        if (!network) {
            return yaml_error((*section)["exclude_networks"], name,
                              "exclude_networks: " + network.error().message);
        }
        config.exclude_networks.push_back(*network);
    }
    return {};
}

Result<void> read_metrics(const YAML::Node& root, const std::string& name, Config& config) {
    auto section = read_section(root, name, "metrics", {"listen", "status_page", "bpf_stats"});
    if (!section) {
        return tl::unexpected(section.error());
    }
    for (auto done : {read_word(*section, name, "listen", config.metrics_listen),
                      read_switch(*section, name, "status_page", config.status_page),
                      read_switch(*section, name, "bpf_stats", config.bpf_stats)}) {
        if (!done) {
            return done;
        }
    }
    if (config.metrics_listen == "off") {
        if (config.status_page) {
            return yaml_error((*section)["status_page"], name,
                              "status_page: there is none while listen is off");
        }
        config.metrics_listen.clear();
    } else if (auto good = parse_listen_address(config.metrics_listen); !good) {
        return yaml_error((*section)["listen"], name, "listen: " + good.error().message);
    }
    return {};
}

// Leaves `out` alone where the section has no such key.
Result<void> read_number(const YAML::Node& section, const std::string& name, const char* key,
                         int least, int most, int& out) {
    std::string text;
    if (auto done = read_word(section, name, key, text); !done || text.empty()) {
        return done;
    }
    int value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
        return yaml_error(
            section[key], name,
            fmt::format("{}: '{}' is not a number from {} to {}", key, text, least, most));
    }
    out = value;
    return {};
}

// A number, or "off", which is 0.
Result<void> read_number_or_off(const YAML::Node& section, const std::string& name, const char* key,
                                int most, int& out) {
    std::string text;
    if (auto done = read_word(section, name, key, text); !done) {
        return done;
    }
    if (text == "off") {
        out = 0;
        return {};
    }
    if (auto done = read_number(section, name, key, 1, most, out); !done) {
        return fail("{}, nor off", done.error().message);
    }
    return {};
}

Result<void> read_short(const YAML::Node& root, const std::string& name, Config& config) {
    auto node = root["short_connections"];
    if (node && node.IsScalar() && node.Scalar() == "off") {
        config.short_connections.step_back = false;
        return {};
    }
    if (!node) {
        return {};
    }
    if (!node.IsMap()) {
        return yaml_error(node, name,
                          "short_connections: must be off or a map such as {bytes: 64KiB, "
                          "milliseconds: 100}");
    }
    auto section = read_section(root, name, "short_connections", {"bytes", "milliseconds"});
    if (!section) {
        return tl::unexpected(section.error());
    }
    if (auto done = read_size(*section, name, "bytes", config.short_connections.bytes); !done) {
        return done;
    }
    return read_number(*section, name, "milliseconds", 1, 60'000,
                       config.short_connections.milliseconds);
}

Result<void> read_services(const YAML::Node& root, const std::string& name, Config& config) {
    auto node = root["services"];
    if (!node) {
        return {};
    }
    auto ranges = yaml_strings(node, name, "services");
    if (!ranges) {
        return tl::unexpected(ranges.error());
    }
    if (ranges->size() > STEER_SERVICES_MAX) {
        return yaml_error(node, name,
                          fmt::format("services: {} ranges, {} are the most", ranges->size(),
                                      STEER_SERVICES_MAX));
    }
    for (const auto& text : *ranges) {
        auto range = parse_cidr(text);
        if (!range) {
            return yaml_error(node, name, "services: " + range.error().message);
        }
        config.services.push_back(*range);
    }
    return {};
}

Result<void> read_trust(const YAML::Node& root, const std::string& name, Config& config) {
    std::string word = "none";
    if (auto done = read_word(root, name, "trust", word); !done) {
        return done;
    }
    if (word != "region" && word != "none") {
        return yaml_error(root["trust"], name,
                          fmt::format("trust: must be region or none, not '{}'", word));
    }
    config.trust = word == "region" ? Trust::region : Trust::none;
    return {};
}

Result<void> read_path(const YAML::Node& root, const std::string& name, Config& config) {
    static const std::map<std::string, Path> kPaths{{"auto", Path::automatic},
                                                    {"smc", Path::smc},
                                                    {"direct", Path::direct},
                                                    {"off", Path::off}};
    std::string word = "auto";
    if (auto done = read_word(root, name, "path", word); !done) {
        return done;
    }
    auto known = kPaths.find(word);
    if (known == kPaths.end()) {
        return yaml_error(root["path"], name,
                          fmt::format("path: must be auto, smc, direct or off, not '{}'", word));
    }
    config.path = known->second;
    return {};
}

Result<void> read_offload(const YAML::Node& root, const std::string& name, Config& config) {
    auto section = read_section(root, name, "offload",
                                {"after_bytes", "after_messages", "after_ms", "idle_ms", "ring",
                                 "share", "port", "on_exit"});
    if (!section) {
        return tl::unexpected(section.error());
    }
    auto& offload = config.offload;
    std::string on_exit = "keep";
    constexpr int kDay = 24 * 60 * 60 * 1000;
    for (auto done : {read_size(*section, name, "after_bytes", offload.limits.after_bytes),
                      read_number(*section, name, "after_messages", 1, 1'000'000,
                                  offload.limits.after_messages),
                      read_number_or_off(*section, name, "after_ms", kDay, offload.limits.after_ms),
                      read_number(*section, name, "idle_ms", 100, kDay, offload.limits.idle_ms),
                      read_size(*section, name, "ring", offload.limits.ring),
                      read_number(*section, name, "share", 1, 100, offload.limits.share),
                      read_port(*section, name, "port", offload.port),
                      read_word(*section, name, "on_exit", on_exit)}) {
        if (!done) {
            return done;
        }
    }
    auto ring = static_cast<unsigned>(offload.limits.ring);
    if (ring > 1 << 20 || (ring & (ring - 1))) {
        return yaml_error((*section)["ring"], name,
                          "ring: must be 16KiB, 32KiB and so on, up to 1MiB");
    }
    if (offload.port == config.link_port) {
        return yaml_error((*section)["port"] ? (*section)["port"] : root["link_port"], name,
                          fmt::format("offload: port {} is link_port already", offload.port));
    }
    if (on_exit != "keep" && on_exit != "restore") {
        return yaml_error((*section)["on_exit"], name,
                          fmt::format("on_exit: must be keep or restore, not '{}'", on_exit));
    }
    offload.restore_on_exit = on_exit == "restore";
    return {};
}

// A key that a version before had; written twice or not, what it was for comes first.
Result<void> refuse_splice(const YAML::Node& root, const std::string& name) {
    auto splice = yaml_key(root, "splice");
    return splice ? yaml_error(*splice, name, kSpliceIsGone) : Result<void>{};
}

Result<void> read_control(const YAML::Node& root, const std::string& name, Config& config) {
    auto section = read_section(root, name, "control", {"read", "write"});
    if (!section) {
        return tl::unexpected(section.error());
    }
    for (auto done : {read_word(*section, name, "read", config.control_read),
                      read_word(*section, name, "write", config.control_write)}) {
        if (!done) {
            return done;
        }
    }
    if (config.control_write == "all") {
        return yaml_error((*section)["write"], name, "write: must be root or a group, not all");
    }
    return {};
}

}  // namespace

Result<int> parse_size(std::string_view text) {
    std::uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    std::string_view unit(end, text.data() + text.size() - end);
    unsigned shift = 0;
    if (unit == "K" || unit == "KiB") {
        shift = 10;
    } else if (unit == "M" || unit == "MiB") {
        shift = 20;
    } else if (!unit.empty()) {
        error = std::errc::invalid_argument;
    }
    if (error == std::errc::invalid_argument || text.empty()) {
        return fail("'{}' is not a size: write bytes, KiB or MiB, such as 1MiB", text);
    }
    constexpr std::uint64_t kLeast = 16 << 10, kMost = 1 << 30;
    if (error == std::errc::result_out_of_range || value > kMost || value << shift > kMost ||
        value << shift < kLeast) {
        return fail("{} is out of range: 16KiB to 1024MiB", text);
    }
    return static_cast<int>(value << shift);
}

Result<Config> parse_config(std::string_view text, const std::string& name) {
    auto root = yaml_load(text, name);
    if (!root) {
        return tl::unexpected(root.error());
    }
    if (!root->IsMap()) {
        return yaml_error(*root, name, "the configuration is a map of keys");
    }
    if (auto gone = refuse_splice(*root, name); !gone) {
        return tl::unexpected(gone.error());
    }
    auto known = yaml_known_keys(*root, name,
                                 {"device", "wmem", "rmem", "workloads", "pods", "cri", "publish",
                                  "eid", "link_port", "when_unsupported", "metrics", "control",
                                  "short_connections", "services", "trust", "path", "offload"});
    if (!known) {
        return tl::unexpected(known.error());
    }

    Config config;
    for (auto done :
         {read_device(*root, name, config), read_size(*root, name, "wmem", config.wmem),
          read_size(*root, name, "rmem", config.rmem), read_workloads(*root, name, config),
          read_port(*root, name, "link_port", config.link_port), read_words(*root, name, config),
          read_metrics(*root, name, config), read_control(*root, name, config),
          read_short(*root, name, config), read_pods(*root, name, config),
          read_publish(*root, name, config), read_services(*root, name, config),
          read_trust(*root, name, config), read_path(*root, name, config),
          read_offload(*root, name, config)}) {
        if (!done) {
            return tl::unexpected(done.error());
        }
    }
    return config;
}

}  // namespace smc_steer
