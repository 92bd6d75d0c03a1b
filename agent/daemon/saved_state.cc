// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/saved_state.h"

#include <unistd.h>

#include "agent/daemon/files.h"

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr int kSavedVersion = 1;

json optional_number(const std::optional<int>& number) { return number ? json(*number) : json(); }

std::optional<int> optional_number(const json& value) {
    return value.is_null() ? std::nullopt : std::optional<int>(value.get<int>());
}

json fallbacks_json(const std::map<std::uint32_t, std::uint64_t>& fallbacks) {
    json list = json::array();
    for (const auto& [reason, count] : fallbacks) {
        list.push_back({reason, count});
    }
    return list;
}

std::map<std::uint32_t, std::uint64_t> fallbacks_from(const json& list) {
    std::map<std::uint32_t, std::uint64_t> fallbacks;
    for (const auto& entry : list) {
        fallbacks[entry.at(0).get<std::uint32_t>()] = entry.at(1).get<std::uint64_t>();
    }
    return fallbacks;
}

}  // namespace

json to_json(const SavedState& state) {
    json namespaces = json::array();
    for (const auto& [id, saved] : state.namespaces) {
        namespaces.push_back({
            {"device", id.device},
            {"inode", id.inode},
            {"hs_ctrl", saved.hs_ctrl},
            {"wmem", optional_number(saved.wmem)},
            {"rmem", optional_number(saved.rmem)},
            {"limited", saved.limited},
        });
    }
    return {
        {"version", kSavedVersion},
        {"hs_ctrl", state.set.hs_ctrl},
        {"wmem", state.set.wmem},
        {"rmem", state.set.rmem},
        {"eid", state.eid},
        {"remove_eid", state.remove_eid},
        {"namespaces", std::move(namespaces)},
        {"smcd_client", state.totals.smcd_client},
        {"smcd_server", state.totals.smcd_server},
        {"handshake_errors", state.totals.handshake_errors},
        {"fallbacks_client", fallbacks_json(state.totals.fallbacks_client)},
        {"fallbacks_server", fallbacks_json(state.totals.fallbacks_server)},
    };
}

Result<SavedState> saved_state_from(const json& object) {
    // The one place where the library's exceptions are the shortest way to be strict.
    try {
        if (object.at("version").get<int>() != kSavedVersion) {
            return fail("version {} is not {}", object.at("version").get<int>(), kSavedVersion);
        }
        SavedState state;
        state.set = {object.at("hs_ctrl").get<std::string>(), object.at("wmem").get<int>(),
                     object.at("rmem").get<int>()};
        state.eid = object.at("eid").get<std::string>();
        state.remove_eid = object.at("remove_eid").get<bool>();
        for (const auto& entry : object.at("namespaces")) {
            state.namespaces[{entry.at("device").get<dev_t>(), entry.at("inode").get<ino_t>()}] = {
                entry.at("hs_ctrl").get<std::string>(), optional_number(entry.at("wmem")),
                optional_number(entry.at("rmem")), entry.at("limited").get<bool>()};
        }
        state.totals.smcd_client = object.at("smcd_client").get<std::uint64_t>();
        state.totals.smcd_server = object.at("smcd_server").get<std::uint64_t>();
        state.totals.handshake_errors = object.at("handshake_errors").get<std::uint64_t>();
        state.totals.fallbacks_client = fallbacks_from(object.at("fallbacks_client"));
        state.totals.fallbacks_server = fallbacks_from(object.at("fallbacks_server"));
        return state;
    } catch (const json::exception& error) {
        return fail("{}", error.what());
    }
}

std::string saved_state_path(const std::string& socket_path) { return socket_path + ".state"; }

Result<std::optional<SavedState>> load_saved_state(const std::string& path) {
    auto text = read_file(path);
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (!*text) {
        return std::nullopt;
    }
    auto state = saved_state_from(json::parse(**text, nullptr, false));
    if (!state) {
        return fail("{}: {}", path, state.error().message);
    }
    return std::move(*state);
}

Result<void> store_saved_state(const std::string& path, const SavedState& state) {
    return replace_file(path, to_json(state).dump() + "\n");
}

void remove_saved_state(const std::string& path) { unlink(path.c_str()); }

}  // namespace smc_steer
