// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/policy_source.h"

#include <spdlog/spdlog.h>
#include <sys/inotify.h>

#include <algorithm>
#include <filesystem>

#include "agent/daemon/files.h"
#include "agent/policy/tables.h"

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

// Editors write, rename and chmod in several steps; one look at the end of them is enough.
constexpr auto kFileSettle = std::chrono::milliseconds(50);

constexpr const char* kOwnFile = "50-smc-policy.yaml";

std::string directory_of(const std::string& path) {
    auto directory = fs::path(path).parent_path();
    return directory.empty() ? "." : directory.string();
}

Result<std::vector<std::string>> list_drop_ins(const std::string& directory) {
    std::vector<std::string> paths;
    std::error_code error;
    for (fs::directory_iterator it(directory, error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().extension() == ".yaml" && !it->path().filename().string().starts_with('.')) {
            paths.push_back(it->path());
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        return fail_errno(error.value(), "{}: cannot list", directory);
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

Result<std::optional<NamedPolicyFile>> parse_one(const std::string& text, const std::string& path) {
    auto file = parse_policy_file(text, path);
    if (!file) {
        return tl::unexpected(file.error());
    }
    return NamedPolicyFile{path, std::move(*file)};
}

// None: there is no such file.
Result<std::optional<NamedPolicyFile>> load_one(const std::string& path) {
    auto text = read_file(path);
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (!*text) {
        return std::nullopt;
    }
    return parse_one(**text, path);
}

// `own`: what the CLI's own file holds, whatever is on disk.
Result<Policy> load(const PolicyPaths& paths, const std::string* own) {
    auto main_file = load_one(paths.main_file);
    if (!main_file) {
        return tl::unexpected(main_file.error());
    }
    if (!*main_file && paths.must_exist) {
        return fail("{}: no such file", paths.main_file);
    }

    auto names = list_drop_ins(paths.drop_in_dir());
    if (!names) {
        return tl::unexpected(names.error());
    }
    auto is_own = [](const std::string& name) { return fs::path(name).filename() == kOwnFile; };
    if (own && std::none_of(names->begin(), names->end(), is_own)) {
        auto name = paths.own_file();
        names->insert(std::lower_bound(names->begin(), names->end(), name), name);
    }
    std::vector<NamedPolicyFile> drop_ins;
    for (const auto& name : *names) {
        auto file = own && is_own(name) ? parse_one(*own, name) : load_one(name);
        if (!file) {
            return tl::unexpected(file.error());
        }
        if (*file) {
            drop_ins.push_back(std::move(**file));
        }
    }
    auto reserved = read_file(paths.reserved_ports);
    auto ports = parse_kernel_ports(reserved ? reserved->value_or("") : "");
    auto policy = merge(*main_file, drop_ins, builtin_policy(ports));
    if (!policy) {
        return policy;
    }
    // What the datapath has no room for is as wrong as what does not parse.
    if (auto tables = compile(*policy); !tables) {
        return tl::unexpected(tables.error());
    }
    return policy;
}

}  // namespace

std::string PolicyPaths::drop_in_dir() const {
    return drop_ins.empty() ? directory_of(main_file) + "/policy.d" : drop_ins;
}

std::string PolicyPaths::own_file() const { return drop_in_dir() + "/" + kOwnFile; }

Result<Policy> load_policy(const PolicyPaths& paths) { return load(paths, nullptr); }

// By way of its text: what is judged is what will be read.
Result<Policy> load_policy_with(const PolicyPaths& paths, const std::vector<Rule>& own) {
    auto text = format_policy_file(own);
    return load(paths, &text);
}

Result<std::vector<Rule>> load_own_rules(const PolicyPaths& paths) {
    auto file = load_one(paths.own_file());
    if (!file) {
        return tl::unexpected(file.error());
    }
    return *file ? (*file)->file.rules : std::vector<Rule>{};
}

Result<void> save_own_rules(const PolicyPaths& paths, const std::vector<Rule>& rules) {
    return replace_file(paths.own_file(), format_policy_file(rules));
}

void PolicyWatch::refresh() {
    main_.directory = directory_of(paths_.main_file);
    drop_ins_.directory = paths_.drop_in_dir();
    watch(main_);
    watch(drop_ins_);
}

void PolicyWatch::watch(Watch& watch) {
    if (watch.source.active()) {
        return;
    }
    std::error_code ignored;
    if (!fs::is_directory(watch.directory, ignored)) {
        return;
    }
    auto source = loop_.on_inotify(
        watch.directory, IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB | IN_ONLYDIR,
        [this, &watch](const inotify_event& event) {
            if (event.mask & IN_IGNORED) {
                watch.source.reset();
            }
            changed();
        });
    if (!source) {
        spdlog::warn("changes in {} are not seen: {}", watch.directory, source.error().message);
        return;
    }
    watch.source = std::move(*source);
    changed();  // what happened before the watch was there
}

void PolicyWatch::changed() {
    auto pause = loop_.after(kFileSettle, [this] {
        pause_.reset();
        on_change_();
    });
    if (pause) {
        pause_ = std::move(*pause);
    }
}

}  // namespace smc_steer
