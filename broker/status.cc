// SPDX-License-Identifier: Apache-2.0
#include "broker/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace smc_steer::broker {
namespace {

using nlohmann::json;

size_t count_state(const RegionStatus& region, const std::string& state) {
    return static_cast<size_t>(std::count_if(region.used.begin(), region.used.end(),
                                             [&](auto& slot) { return slot.state == state; }));
}

std::string slot_row(const json& slot) {
    std::string age = slot.at("heartbeat_age").is_null()
                          ? "-"
                          : fmt::format("{:.0f}s", slot.at("heartbeat_age").get<double>());
    return fmt::format("  {:>4}  {:<9}  {:>10}  {:>16}  {:>7}  {:>6}  {:>9}  {:>6}  {:>9}  {}\n",
                       slot.at("slot").get<uint32_t>(), slot.at("state").get<std::string>(),
                       slot.at("generation").get<uint32_t>(), slot.at("gid").get<std::string>(),
                       slot.at("pid").get<int64_t>(), slot.at("uid").get<uint32_t>(), age,
                       slot.at("chunks").get<uint32_t>(), slot.at("condemned").get<uint32_t>(),
                       slot.at("relearned").get<bool>() ? "re-learned" : "");
}

std::string table(const json& root) {
    std::string text;
    for (const json& region : root.at("regions")) {
        text += fmt::format(
            "region {}: {} MiB on {}, {}, uuid {}\n  chunks: {} in all, {} free, {} leased, {} "
            "condemned\n",
            region.at("name").get<std::string>(), region.at("size").get<uint64_t>() >> 20,
            region.at("socket").get<std::string>(), region.at("memory").get<std::string>(),
            region.at("uuid").get<std::string>(), region.at("chunks").get<uint32_t>(),
            region.at("free").get<uint32_t>(), region.at("leased").get<uint32_t>(),
            region.at("condemned").get<uint32_t>());
        if (region.at("used").empty()) {
            text += fmt::format("  no member, {} slots free\n", region.at("slots").get<uint32_t>());
            continue;
        }
        text += fmt::format("  {:>4}  {:<9}  {:>10}  {:>16}  {:>7}  {:>6}  {:>9}  {:>6}  {:>9}\n",
                            "SLOT", "STATE", "GENERATION", "GID", "PID", "UID", "HEARTBEAT",
                            "CHUNKS", "CONDEMNED");
        for (const json& slot : region.at("used")) {
            text += slot_row(slot);
        }
    }
    return text;
}

void add(std::string& text, const char* name, const char* type, const char* help,
         const std::string& samples) {
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n{}", name, help, name, type, samples);
}

}  // namespace

std::string to_json(const std::vector<RegionStatus>& regions) {
    json all = json::array();
    for (const RegionStatus& region : regions) {
        json used = json::array();
        for (const SlotStatus& slot : region.used) {
            used.push_back(
                {{"slot", slot.slot},
                 {"state", slot.state},
                 {"generation", slot.generation},
                 {"gid", fmt::format("{:016x}", slot.gid)},
                 {"pid", slot.pid},
                 {"uid", slot.uid},
                 {"heartbeat_age", slot.heartbeat_age ? json(*slot.heartbeat_age) : json(nullptr)},
                 {"chunks", slot.chunks},
                 {"condemned", slot.condemned},
                 {"relearned", slot.relearned}});
        }
        all.push_back({{"name", region.name},
                       {"socket", region.socket},
                       {"uuid", region.uuid},
                       {"memory", region.memory},
                       {"size", region.size},
                       {"slots", region.slots},
                       {"vectors", region.vectors},
                       {"chunks", region.chunks},
                       {"free", region.free},
                       {"leased", region.leased},
                       {"condemned", region.condemned},
                       {"used", used},
                       {"counters", region.counters}});
    }
    return json{{"regions", all}}.dump() + "\n";
}

// https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4. Region names
// need no escapes: [a-z0-9_-].
std::string to_prometheus(const std::vector<RegionStatus>& regions) {
    std::string text;
    std::string slots;
    std::string chunks;
    std::map<std::string, std::string> counters;
    std::string ages;
    for (const RegionStatus& r : regions) {
        for (const char* state : {"CONNECTED", "LIVE", "HELD"}) {
            slots += fmt::format("ivpci_broker_slots{{region=\"{}\",state=\"{}\"}} {}\n", r.name,
                                 state, count_state(r, state));
        }
        slots += fmt::format("ivpci_broker_slots{{region=\"{}\",state=\"EMPTY\"}} {}\n", r.name,
                             r.slots - r.used.size());
        for (auto [state, n] : {std::pair("free", r.free), std::pair("leased", r.leased),
                                std::pair("condemned", r.condemned)}) {
            chunks += fmt::format("ivpci_broker_chunks{{region=\"{}\",state=\"{}\"}} {}\n", r.name,
                                  state, n);
        }
        for (const auto& [name, value] : r.counters) {
            counters[name] +=
                fmt::format("ivpci_broker_{}_total{{region=\"{}\"}} {}\n", name, r.name, value);
        }
        for (const SlotStatus& slot : r.used) {
            if (slot.heartbeat_age) {
                ages += fmt::format(
                    "ivpci_broker_heartbeat_age_seconds{{region=\"{}\",slot=\"{}\"}} {:.3f}\n",
                    r.name, slot.slot, *slot.heartbeat_age);
            }
        }
    }
    add(text, "ivpci_broker_slots", "gauge", "Slots by state.", slots);
    add(text, "ivpci_broker_chunks", "gauge", "Chunks of 1 MiB by state.", chunks);
    add(text, "ivpci_broker_heartbeat_age_seconds", "gauge",
        "Since a LIVE guest's driver was last seen alive.", ages);
    for (const auto& [name, samples] : counters) {
        add(text, fmt::format("ivpci_broker_{}_total", name).c_str(), "counter",
            "Since the broker started.", samples);
    }
    return text;
}

Result<std::string> to_table(const std::string& text) {
    try {
        return table(json::parse(text));
    } catch (const json::exception&) {
        return fail("the broker's answer is not a status that this version understands");
    }
}

std::string summary(const std::vector<RegionStatus>& regions) {
    std::string text;
    for (const RegionStatus& r : regions) {
        size_t live = count_state(r, "LIVE");
        text += fmt::format("{}{}{} of {} slots connected, {} live, {} of {} chunks free",
                            text.empty() ? "" : "; ",
                            regions.size() > 1 ? r.name + ": " : std::string(),
                            live + count_state(r, "CONNECTED"), r.slots, live, r.free, r.chunks);
    }
    return text;
}

}  // namespace smc_steer::broker
