// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/status_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <kainjow/mustache.hpp>
#include <map>
#include <vector>

#include "agent/base/human.h"
#include "agent/daemon/answer.h"
#include "agent/daemon/status_page_files.h"

namespace smc_steer {
namespace {

using nlohmann::json;
namespace mustache = kainjow::mustache;

constexpr std::size_t kMostBytes = 160;  // of one text that others wrote

const json& member(const json& object, const char* name) {
    static const json none;
    auto entry = object.find(name);
    return entry == object.end() ? none : *entry;
}

// One line of UTF-8 of bounded length.
std::string shown(std::string text) {
    bool cut = text.size() > kMostBytes;
    text.resize(std::min(text.size(), kMostBytes));
    // Bytes that are no UTF-8, as those of a character cut in two, become U+FFFD.
    text = json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace))
               .get<std::string>();
    std::replace_if(
        text.begin(), text.end(),
        [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
    return cut ? text + "..." : text;
}

std::string shown(const json& object, const std::string& name) {
    return shown(text_of(object, name));
}

std::string per_second(std::uint64_t bytes) { return human_bytes(bytes) + "/s"; }

json node_view(const PageFacts& facts) {
    const auto& status = facts.status;
    const auto& device = member(status, "device");
    const auto& process = member(status, "process");
    std::string region = "none";
    if (device.is_object()) {
        const auto& of_device = member(device, "region");
        region = fmt::format("{}, slot {} of {}, {}", shown(of_device, "uuid"),
                             number_of(device, "slot"), number_of(device, "slots"),
                             human_bytes(number_of(of_device, "size")));
    }
    auto ivpci = member(status, "ivpci");
    return {
        {"name", shown(facts.node)},
        {"state", shown(status, "state")},
        {"active", text_of(status, "state") == "active"},
        {"reason", shown(status, "reason")},
        {"error", shown(status, "last_error")},
        {"agent", shown(status, "agent")},
        {"kernel", shown(status, "kernel")},
        {"region", region},
        {"eid", shown(status, "eid")},
        {"memory", fmt::format("{} in {} buffers", human_bytes(number_of(ivpci, "dmb_bytes")),
                               number_of(ivpci, "dmbs"))},
        {"rules",
         fmt::format("{}, otherwise {}", number_of(status, "rules"), shown(status, "default"))},
        {"namespaces", std::to_string(number_of(status, "netns"))},
        {"resident", human_bytes(number_of(process, "resident_bytes"))},
    };
}

json totals_view(const PageFacts& facts) {
    const auto& now = member(facts.flows, "totals");
    const auto& ever = member(facts.status, "connections");
    std::uint64_t peers = number_of(facts.status, "peers");
    return {
        {"accelerated", std::to_string(number_of(now, "smcd"))},
        {"tcp", std::to_string(number_of(now, "tcp"))},
        {"peers", std::to_string(peers)},
        {"links", fmt::format("{} of {}", number_of(member(facts.status, "link"), "up"), peers)},
        {"smcd_ever", std::to_string(number_of(ever, "smcd"))},
        {"failed_ever", std::to_string(number_of(ever, "failed"))},
    };
}

json peers_view(const json& peers) {
    json rows = json::array();
    for (const auto& peer : peers) {
        if (rows.size() == kPagePeers) {
            break;
        }
        std::string addresses;
        std::size_t count = 0;
        const auto& all = member(peer, "addresses");
        for (const auto& address : all) {
            if (++count > kPageAddresses) {
                addresses += fmt::format(" and {} more", all.size() - kPageAddresses);
                break;
            }
            addresses += (addresses.empty() ? "" : ", ") +
                         (address.is_string() ? shown(address.get<std::string>()) : "");
        }
        auto link = shown(peer, "link");
        auto problem = shown(peer, "link_problem");
        rows.push_back({
            {"slot", std::to_string(number_of(peer, "slot"))},
            {"name", shown(peer, "name")},
            {"state", shown(peer, "state")},
            {"link", problem.empty() || link == "up" ? link : link + ": " + problem},
            {"agent", shown(peer, "agent")},
            {"addresses", addresses},
            {"kind", link == "up" ? "good" : "plain"},
        });
    }
    return rows;
}

// Accelerated ones first, of these and of the others the ones that moved most.
std::vector<const json*> in_order(const json& flows) {
    std::vector<const json*> order;
    for (const auto& flow : flows) {
        order.push_back(&flow);
    }
    auto moved = [](const json* flow) {
        return number_of(*flow, "bytes_sent") + number_of(*flow, "bytes_received");
    };
    auto smcd = [](const json* flow) { return text_of(*flow, "mode") == "SMC-D"; };
    std::stable_sort(order.begin(), order.end(), [&](const json* a, const json* b) {
        return smcd(a) != smcd(b) ? smcd(a) : moved(a) > moved(b);
    });
    return order;
}

json flows_view(const json& flows) {
    static const std::map<std::string, std::string> kKinds{{"SMC-D", "good"},
                                                           {"TCP-fallback", "fell"}};
    json rows = json::array();
    for (const auto* flow : in_order(flows)) {
        if (rows.size() == kPageFlows) {
            break;
        }
        const auto& age = member(*flow, "age_seconds");
        auto why = shown(*flow, "reason_text");
        auto kind = kKinds.find(text_of(*flow, "mode"));
        rows.push_back({
            {"mode", shown(*flow, "mode")},
            {"kind", kind == kKinds.end() ? "plain" : kind->second},
            {"workload", shown(*flow, text_of(*flow, "pod").empty() ? "workload" : "pod")},
            {"local", shown(*flow, "local")},
            {"peer", shown(*flow, "peer")},
            {"sent", human_bytes(number_of(*flow, "bytes_sent"))},
            {"received", human_bytes(number_of(*flow, "bytes_received"))},
            {"age", age.is_number() ? human_time(age.get<double>()) : "-"},
            {"why", why.empty() ? shown(*flow, "reason") : why},
        });
    }
    return rows;
}

json reasons_view(const json& reasons) {
    json rows = json::array();
    for (const auto& reason : reasons) {
        rows.push_back({
            {"count", std::to_string(number_of(reason, "count"))},
            {"side", shown(reason, "side")},
            {"name", shown(reason, "name")},
            {"text", shown(reason, "text")},
            {"remedy", shown(reason, "remedy")},
        });
    }
    return rows;
}

json throughput_view(const Throughput& throughput) {
    json rows = json::array();
    auto add = [&rows](const char* span, const Rate& rate) {
        rows.push_back({{"span", span},
                        {"sent", per_second(rate.sent)},
                        {"received", per_second(rate.received)}});
    };
    add("last 2 s", throughput.mean(2));
    add("last minute", throughput.mean(60));
    add("last 5 minutes", throughput.mean(300));
    return rows;
}

json plot_view(const Throughput& throughput, std::uint64_t now_ns) {
    json ages = json::array();
    json sent = json::array();
    json received = json::array();
    for (const auto& rate : throughput.rates()) {
        // tenths of a second are enough
        ages.push_back(static_cast<double>((now_ns - rate.end_ns) / 100'000'000) / 10);
        sent.push_back(rate.sent);
        received.push_back(rate.received);
    }
    return {{"span", Throughput::kPeriods * Throughput::kPeriodNs / 1'000'000'000},
            {"ages", std::move(ages)},
            {"sent", std::move(sent)},
            {"received", std::move(received)}};
}

mustache::data to_mustache(const json& value) {
    if (value.is_object()) {
        mustache::data object{mustache::data::type::object};
        for (const auto& [name, each] : value.items()) {
            object.set(name, to_mustache(each));
        }
        return object;
    }
    if (value.is_array()) {
        mustache::data list{mustache::data::type::list};
        for (const auto& each : value) {
            list << to_mustache(each);
        }
        return list;
    }
    if (value.is_string()) {
        return {value.get<std::string>()};
    }
    if (value.is_boolean()) {
        return {value.get<bool>()};
    }
    return {value.dump()};
}

HttpAnswer guarded(std::string body, const char* type) {
    return {200,
            std::move(body),
            type,
            {
                {"Content-Security-Policy",
                 "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
                 "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                {"X-Content-Type-Options", "nosniff"},
                {"Cross-Origin-Resource-Policy", "same-origin"},
                {"Referrer-Policy", "no-referrer"},
                {"Cache-Control", "no-store"},
            }};
}

}  // namespace

json page_view(const PageFacts& facts, const Throughput& throughput, std::uint64_t now_ns) {
    const auto& flows = member(facts.flows, "flows");
    auto count = flows.size();
    auto more = [](std::size_t all, std::size_t most, const char* what) {
        return all > most ? fmt::format("and {} more {}", all - most, what) : std::string();
    };
    return {
        {"node", node_view(facts)},
        {"totals", totals_view(facts)},
        {"peers", peers_view(facts.peers)},
        {"flows", flows_view(flows)},
        {"reasons", reasons_view(facts.reasons)},
        {"throughput", throughput_view(throughput)},
        {"plot", plot_view(throughput, now_ns)},
        {"more",
         {{"flows", more(count, kPageFlows, "connections: smc-policy flows shows them all")},
          {"peers", more(facts.peers.size(), kPagePeers, "peers")}}},
    };
}

HttpAnswer page_html(const json& view) {
    mustache::mustache page{std::string(kStatusHtml)};
    return guarded(page.render(to_mustache(view)), "text/html; charset=utf-8");
}

HttpAnswer page_json(const json& view) {
    return guarded(view.dump(-1, ' ', false, json::error_handler_t::replace), "application/json");
}

const HttpAnswer* page_file(std::string_view path) {
    static const std::map<std::string_view, HttpAnswer> kFiles{
        {"/status.css", guarded(std::string(kStatusCss), "text/css; charset=utf-8")},
        {"/status.js", guarded(std::string(kStatusJs), "text/javascript; charset=utf-8")},
    };
    auto file = kFiles.find(path);
    return file == kFiles.end() ? nullptr : &file->second;
}

}  // namespace smc_steer
