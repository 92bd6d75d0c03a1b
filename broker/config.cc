// SPDX-License-Identifier: Apache-2.0
#include "broker/config.h"

#include <grp.h>
#include <pwd.h>
#include <sys/un.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace smc_steer::broker {
namespace {

constexpr size_t kMaxText = 1 << 20;

// A whole number, nothing around it.
std::optional<uint32_t> number(const std::string& text) {
    uint32_t value = 0;
    const char* last = text.data() + text.size();
    auto [end, err] = std::from_chars(text.data(), last, value);
    return err == std::errc() && end == last ? std::optional(value) : std::nullopt;
}

std::string shown(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
    return text.size() > 80 ? text.substr(0, 80) + "..." : text;
}

Result<std::string> scalar(const YAML::Node& node) {
    if (!node.IsScalar() || node.Scalar().empty()) {
        return fail("a value is missing");
    }
    return node.Scalar();
}

Result<uint32_t> in_range(const std::string& text, uint32_t low, uint32_t high) {
    auto value = number(text);
    if (!value || *value < low || *value > high) {
        return fail("{}: give a number from {} to {}", shown(text), low, high);
    }
    return *value;
}

template <class Id>
Result<Id> id_of(const std::string& text,
                 const std::function<std::optional<Id>(const std::string&)>& lookup) {
    if (auto value = number(text)) {
        return *value;
    }
    auto id = lookup(text);
    if (!id) {
        return fail("{}: there is none of that name on this host", shown(text));
    }
    return *id;
}

bool good_name(const std::string& name) {
    return !name.empty() && name.size() <= 32 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
}

class Parser {
public:
    Parser(const std::string& file, const Names& names) : file_(file), names_(names) {}

    Result<std::vector<RegionConfig>> parse(const std::string& text) {
        if (text.size() > kMaxText) {
            return fail("{}: larger than 1 MiB, which no configuration is", file_);
        }
        try {
            return regions(YAML::Load(text));
        } catch (const YAML::Exception& error) {
            return fail("{}:{}: {}", file_, error.mark.line + 1, shown(error.msg));
        }
    }

private:
    [[nodiscard]] tl::unexpected<Error> bad(const YAML::Node& at, const std::string& what) const {
        return fail("{}:{}: {}", file_, at.Mark().line + 1, what);
    }

    Result<std::vector<RegionConfig>> regions(const YAML::Node& root) {
        if (!root.IsMap()) {
            return fail("{}:1: regions: is missing", file_);
        }
        YAML::Node list;
        for (const auto& entry : root) {
            if (!entry.first.IsScalar() || entry.first.Scalar() != "regions") {
                return bad(entry.first,
                           "unknown key '" + key_of(entry.first) + "', there is only regions");
            }
            if (list.IsDefined() && !list.IsNull()) {
                return bad(entry.first, "regions: is there twice");
            }
            list.reset(entry.second);
        }
        if (!list.IsMap() || list.size() == 0) {
            return bad(list, "regions: no region is there, give NAME: {socket: PATH}");
        }
        std::vector<RegionConfig> all;
        std::map<std::string, std::string> sockets;
        for (const auto& entry : list) {
            std::string name = key_of(entry.first);
            if (!good_name(name)) {
                return bad(entry.first,
                           "region " + name + ": a name has 1 to 32 of a-z, 0-9, _ and -");
            }
            if (std::any_of(all.begin(), all.end(), [&](auto& r) { return r.name == name; })) {
                return bad(entry.first, "region " + name + ": is there twice");
            }
            auto one = region(entry.first, entry.second, name);
            if (!one) {
                return one.map([](auto&&) { return std::vector<RegionConfig>(); });
            }
            auto [other, fresh] = sockets.emplace(one->socket, name);
            if (!fresh) {
                return bad(entry.second["socket"], "region " + name + ": socket: " + one->socket +
                                                       " is region " + other->second + "'s");
            }
            all.push_back(std::move(*one));
        }
        return all;
    }

    static std::string key_of(const YAML::Node& key) {
        return key.IsScalar() ? shown(key.Scalar()) : "(not a word)";
    }

    Result<RegionConfig> region(const YAML::Node& at, const YAML::Node& node,
                                const std::string& name) {
        if (!node.IsMap()) {
            return bad(at, "region " + name + ": give it keys, socket at least");
        }
        RegionConfig config;
        config.name = name;
        uint64_t size = kDefaultSize;
        uint32_t slots = kDefaultSlots;
        YAML::Node size_at = at;
        std::vector<std::string> seen;
        for (const auto& entry : node) {
            std::string key = key_of(entry.first);
            if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
                return bad(entry.first, fmt::format("region {}: {}: is there twice", name, key));
            }
            seen.push_back(key);
            if (key == "size" || (key == "slots" && size_at.is(at))) {
                size_at.reset(entry.second);
            }
            auto done = set(config, size, slots, key, entry.second);
            if (!done) {
                // An empty value has no place of its own in the file.
                const YAML::Node& where = entry.second.IsNull() ? entry.first : entry.second;
                return bad(where,
                           fmt::format("region {}: {}: {}", name, key, done.error().message));
            }
        }
        if (config.socket.empty()) {
            return bad(at, "region " + name + ": socket: is missing");
        }
        auto layout = make_layout(size, slots);
        if (!layout) {
            return bad(size_at, fmt::format("region {}: size: {}", name, layout.error().message));
        }
        config.layout = *layout;
        return config;
    }

    Result<void> set(RegionConfig& config, uint64_t& size, uint32_t& slots, const std::string& key,
                     const YAML::Node& node) {
        auto store = [](auto& to) { return [&to](auto value) { to = value; }; };
        if (key == "allow_uids") {
            return uids(node).map(store(config.allow_uids));
        }
        static const std::vector<std::string> kKeys = {"socket", "size",  "slots", "vectors",
                                                       "owner",  "group", "mode",  "memory"};
        if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
            return fail("unknown key, there are {} and allow_uids", fmt::join(kKeys, ", "));
        }
        auto text = scalar(node);
        if (!text) {
            return forward_error(std::move(text));
        }
        if (key == "socket") {
            return socket(*text).map(store(config.socket));
        }
        if (key == "size") {
            return parse_size(*text).map(store(size));
        }
        if (key == "slots") {
            return in_range(*text, 1, IVPCI_SLOTS_MAX).map(store(slots));
        }
        if (key == "vectors") {
            return in_range(*text, 1, IVPCI_VECTORS_MAX).map(store(config.vectors));
        }
        if (key == "mode") {
            return parse_mode(*text).map(store(config.mode));
        }
        if (key == "owner") {
            return id_of<uid_t>(*text, names_.user).map(store(config.owner));
        }
        if (key == "group") {
            return id_of<gid_t>(*text, names_.group).map(store(config.group));
        }
        if (*text != "memfd" && *text != "hugetlb") {
            return fail("{}: there are memfd and hugetlb", shown(*text));
        }
        config.memory = *text == "memfd" ? Memory::kMemfd : Memory::kHugetlb;
        return {};
    }

    static Result<std::string> socket(const std::string& path) {
        constexpr size_t kMax = sizeof(sockaddr_un::sun_path) - 1;
        if (path.front() != '/') {
            return fail("{}: give an absolute path", shown(path));
        }
        if (path.size() > kMax || path.find('\0') != std::string::npos) {
            return fail("{}: a socket's path has at most {} bytes", shown(path), kMax);
        }
        return path;
    }

    // An empty list would read as "nobody" and mean "anybody": refused.
    static Result<std::vector<uid_t>> uids(const YAML::Node& node) {
        if (!node.IsSequence() || node.size() == 0) {
            return fail("give a list of numeric user ids, as [107, 64055]");
        }
        std::vector<uid_t> all;
        for (const auto& entry : node) {
            auto uid = number(entry.IsScalar() ? entry.Scalar() : "");
            if (!uid) {
                return fail("{}: not a numeric user id", key_of(entry));
            }
            all.push_back(*uid);
        }
        return all;
    }

    const std::string& file_;
    const Names& names_;
};

}  // namespace

Names system_names() {
    return Names{[](const std::string& name) -> std::optional<uid_t> {
                     const passwd* entry = getpwnam(name.c_str());
                     return entry != nullptr ? std::optional(entry->pw_uid) : std::nullopt;
                 },
                 [](const std::string& name) -> std::optional<gid_t> {
                     const group* entry = getgrnam(name.c_str());
                     return entry != nullptr ? std::optional(entry->gr_gid) : std::nullopt;
                 }};
}

Result<std::vector<RegionConfig>> parse_config(const std::string& text, const std::string& file,
                                               const Names& names) {
    return Parser(file, names).parse(text);
}

}  // namespace smc_steer::broker
