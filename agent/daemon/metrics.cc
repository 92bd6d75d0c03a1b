// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "agent/daemon/answer.h"

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr std::string_view kGauge = "gauge";
constexpr std::string_view kCounter = "counter";
constexpr std::string_view kHistogram = "histogram";

constexpr auto kFamilies = std::to_array<MetricFamily>({
    {"smc_steer_agent_info", kGauge, "version, kernel", "Always 1; what runs here."},
    {"smc_steer_active", kGauge, "", "1: new connections are accelerated; 0: idle."},
    {"smc_steer_rules_rejected", kGauge, "",
     "1: the rules on disk are wrong, older ones are in force."},
    {"smc_steer_rules", kGauge, "", "Rules in force."},
    {"smc_steer_network_namespaces", kGauge, "", "Network namespaces covered."},
    {"smc_steer_peers", kGauge, "", "Other guests that are LIVE in the region."},
    {"smc_steer_same_host_addresses", kGauge, "", "Addresses known to be on this host."},
    {"smc_steer_links", kGauge, "", "Peers with an agent we hold a connection with over SMC-D."},
    {"smc_steer_link_strangers_total", kCounter, "",
     "Callers at the links' port that were no agent of the region."},
    {"smc_steer_pods", kGauge, "state",
     "Pods that container runtimes tell of: all (known) and those whose sockets are steered."},
    {"smc_steer_container_runtimes", kGauge, "state",
     "Container runtimes found, by whether they answered the last question over CRI."},
    {"smc_steer_addresses", kGauge, "state",
     "Addresses of this guest that peers know (published) or not, for want of room (left_out)."},
    {"smc_steer_coverage_seconds", kHistogram, "le",
     "From a new control group that needed an entry of its own to its sockets being steered."},
    {"smc_steer_coverage_max_seconds", kGauge, "", "The longest of these times."},
    {"smc_steer_coverage_inside_total", kCounter, "",
     "Containers made inside a steered control group: covered from birth."},
    {"smc_steer_sockets_steered_total", kCounter, "", "Sockets that were made SMC sockets."},
    {"smc_steer_syn_total", kCounter, "decision", "SYNs of SMC sockets, by decision."},
    {"smc_steer_synack_total", kCounter, "decision", "SYN-ACKs of SMC listeners, by decision."},
    {"smc_steer_service_syn_total", kCounter, "decision",
     "SYNs with SMC's option that left this guest: kept, or the option taken_off."},
    {"smc_steer_established_total", kCounter, "kind",
     "TCP handshakes done: same host agreed on SMC (smc) or not (tcp), and others (other)."},
    {"smc_steer_closed_total", kCounter, "kind", "Connections closed, by the same kinds."},
    {"smc_steer_smcd_connections_total", kCounter, "", "Connections that became SMC-D."},
    {"smc_steer_fallbacks_total", kCounter, "side, code, name",
     "Steered sockets that became TCP, by SMC's reason."},
    {"smc_steer_offload_connections", kGauge, "",
     "Connections that are moved onto shared memory now."},
    {"smc_steer_offload_moved_total", kCounter, "", "Connections that were."},
    {"smc_steer_offload_failed_total", kCounter, "", "Attempts to move one that came to nothing."},
    {"smc_steer_offload_back_total", kCounter, "reason",
     "Connections that went back to TCP: idle, denied by a rule, the peer's doing, evicted for a "
     "hotter one, or for another control group's share."},
    {"smc_steer_offload_ring_bytes_total", kCounter, "",
     "Bytes of connections that went by rings, both ways."},
    {"smc_steer_ivpci_dmbs", kGauge, "", "DMBs registered."},
    {"smc_steer_ivpci_dmbs_parked", kGauge, "", "DMBs withdrawn that a writer still claims."},
    {"smc_steer_ivpci_dmb_bytes", kGauge, "", "Shared memory in DMBs."},
    {"smc_steer_ivpci_chunks", kGauge, "", "Chunks (1 MiB) leased."},
    {"smc_steer_ivpci_attachments", kGauge, "", "Peers' DMBs mapped as send buffers."},
    {"smc_steer_ivpci_registered_total", kCounter, "", "DMBs registered so far."},
    {"smc_steer_ivpci_refused_total", kCounter, "reason",
     "Refused by the driver: region full, no descriptor (index), no such peer, no answer of the "
     "broker, no memory, a header that somebody wrote into."},
    {"smc_steer_ivpci_bytes_sent_total", kCounter, "", "Payload written to peers."},
    {"smc_steer_ivpci_signals_sent_total", kCounter, "", "Notifications written."},
    {"smc_steer_ivpci_signals_received_total", kCounter, "", "Notifications read."},
    {"smc_steer_ivpci_doorbells_sent_total", kCounter, "", "Doorbells rung."},
    {"smc_steer_ivpci_doorbells_skipped_total", kCounter, "",
     "Doorbells not rung, the peer was looking."},
    {"smc_steer_ivpci_ring_overflows_total", kCounter, "", "Notification rings that were full."},
    {"smc_steer_ivpci_interrupts_total", kCounter, "", "Interrupts."},
    {"smc_steer_ivpci_polls_total", kCounter, "", "Looks for notifications without an interrupt."},
    {"smc_steer_ivpci_poll_hits_total", kCounter, "", "Of these, the ones that found something."},
    {"smc_steer_ivpci_poll_nanoseconds_total", kCounter, "", "Time spent looking."},
    {"smc_steer_ivpci_poll_rests_total", kCounter, "",
     "Times that looking was given up for a while: it found too little."},
    {"smc_steer_ivpci_header_tampered_total", kCounter, "",
     "Times a member was found to have written into the region's header."},
    {"smc_steer_ivpci_full_scans_total", kCounter, "", "Looks at all DMBs of a peer."},
    {"smc_steer_ivpci_peers_lost_total", kCounter, "", "Peers that went away."},
    {"smc_steer_ivpci_peers_silent_total", kCounter, "",
     "Times connections with a peer ended because it stood still."},
    {"smc_steer_bpf_runs_total", kCounter, "program", "Runs of our BPF programs."},
    {"smc_steer_bpf_run_nanoseconds_total", kCounter, "program", "Time spent in them."},
    {"smc_steer_upgrades_total", kCounter, "", "Upgrades since the machine's agent was started."},
    {"smc_steer_start_time_seconds", kGauge, "", "When this agent process started, Unix time."},
    {"smc_steer_open_descriptors", kGauge, "", "File descriptors the agent has open."},
    {"smc_steer_resident_bytes", kGauge, "", "Memory of the agent."},
});

using Label = std::pair<std::string_view, std::string>;

std::string escaped(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') {
            out += '\\';
        }
        out += c;
    }
    return out;
}

// Lines by family, so that each comes once under its own HELP and TYPE.
class Text {
public:
    // `suffix`: of a histogram's lines, "_sum".
    void add(std::string_view family, std::initializer_list<Label> labels, const json& value,
             std::string_view suffix = "") {
        if (!value.is_number() && !value.is_boolean()) {
            return;
        }
        std::string list;
        for (const auto& [name, text] : labels) {
            list += fmt::format("{}{}=\"{}\"", list.empty() ? "" : ",", name, escaped(text));
        }
        std::string number = value.is_boolean() ? (value.get<bool>() ? "1" : "0") : value.dump();
        lines_[family] += list.empty()
                              ? fmt::format("{}{} {}\n", family, suffix, number)
                              : fmt::format("{}{}{{{}}} {}\n", family, suffix, list, number);
    }

    std::string str() const {
        std::string all;
        for (const auto& family : kFamilies) {
            auto entry = lines_.find(family.name);
            if (entry != lines_.end()) {
                all += fmt::format("# HELP {} {}\n# TYPE {} {}\n{}", family.name, family.help,
                                   family.name, family.type, entry->second);
            }
        }
        return all;
    }

private:
    std::map<std::string_view, std::string> lines_;
};

const json& member(const json& object, std::string_view name) {
    static const json none;
    auto entry = object.find(std::string(name));
    return entry == object.end() ? none : *entry;
}

void add_counters(const json& counters, Text& text) {
    struct Split {
        std::string_view family;
        std::string_view label;
        std::string_view prefix;
    };
    static constexpr Split kSplits[] = {
        {"smc_steer_syn_total", "decision", "syn_"},
        {"smc_steer_synack_total", "decision", "synack_"},
        {"smc_steer_service_syn_total", "decision", "guard_"},
        {"smc_steer_established_total", "kind", "established_"},
        {"smc_steer_closed_total", "kind", "closed_"},
    };
    text.add("smc_steer_sockets_steered_total", {}, member(counters, "sockets_steered"));
    for (const auto& [name, value] : counters.items()) {
        for (const auto& split : kSplits) {
            if (name.starts_with(split.prefix)) {
                text.add(split.family, {{split.label, name.substr(split.prefix.size())}}, value);
            }
        }
    }
}

void add_offload(const json& offload, Text& text) {
    text.add("smc_steer_offload_connections", {}, member(offload, "connections"));
    text.add("smc_steer_offload_moved_total", {}, member(offload, "moved"));
    text.add("smc_steer_offload_failed_total", {}, member(offload, "failed"));
    text.add("smc_steer_offload_ring_bytes_total", {}, member(offload, "ring_bytes"));
    for (const auto& [reason, count] : member(offload, "back").items()) {
        text.add("smc_steer_offload_back_total", {{"reason", reason}}, count);
    }
}

void add_ivpci(const json& stats, Text& text) {
    constexpr std::string_view kPrefix = "smc_steer_ivpci_";
    constexpr std::string_view kTotal = "_total";
    for (const auto& family : kFamilies) {
        if (!family.name.starts_with(kPrefix) || !family.labels.empty()) {
            continue;
        }
        auto field = family.name.substr(kPrefix.size());
        if (field.ends_with(kTotal)) {
            field.remove_suffix(kTotal.size());
        }
        text.add(family.name, {}, member(stats, field));
    }
    constexpr std::string_view kRefused = "refused_";
    for (const auto& [name, value] : stats.items()) {
        if (name.starts_with(kRefused)) {
            text.add("smc_steer_ivpci_refused_total", {{"reason", name.substr(kRefused.size())}},
                     value);
        }
    }
}

void add_workloads(const json& status, Text& text) {
    const auto& pods = member(status, "pods");
    for (const char* state : {"known", "steered"}) {
        text.add("smc_steer_pods", {{"state", state}}, member(pods, state));
    }
    std::size_t answering = 0, silent = 0;
    for (const auto& runtime : member(pods, "runtimes")) {
        (text_of(runtime, "problem").empty() ? answering : silent)++;
    }
    text.add("smc_steer_container_runtimes", {{"state", "answering"}}, answering);
    text.add("smc_steer_container_runtimes", {{"state", "silent"}}, silent);
    for (const char* state : {"published", "left_out"}) {
        text.add("smc_steer_addresses", {{"state", state}},
                 member(member(status, "addresses"), state));
    }
    constexpr std::string_view kTimes = "smc_steer_coverage_seconds";
    const auto& coverage = member(status, "coverage");
    for (const auto& bucket : member(coverage, "buckets")) {
        auto bound = member(bucket, "le_milliseconds").get<double>() / 1000;
        text.add(kTimes, {{"le", fmt::format("{}", bound)}}, member(bucket, "count"), "_bucket");
    }
    text.add(kTimes, {{"le", "+Inf"}}, member(coverage, "late"), "_bucket");
    text.add(kTimes, {}, member(coverage, "seconds"), "_sum");
    text.add(kTimes, {}, member(coverage, "late"), "_count");
    text.add("smc_steer_coverage_max_seconds", {}, member(coverage, "max_seconds"));
    text.add("smc_steer_coverage_inside_total", {}, member(coverage, "inside"));
}

}  // namespace

std::span<const MetricFamily> metric_families() { return kFamilies; }

std::string render_metrics(const json& status, const json& reasons, const json& programs) {
    Text text;
    text.add("smc_steer_agent_info",
             {{"version", text_of(status, "agent")}, {"kernel", text_of(status, "kernel")}}, 1);
    text.add("smc_steer_active", {}, text_of(status, "state") == "active");
    text.add("smc_steer_rules_rejected", {}, !text_of(status, "last_error").empty());
    text.add("smc_steer_rules", {}, member(status, "rules"));
    text.add("smc_steer_network_namespaces", {}, member(status, "netns"));
    text.add("smc_steer_peers", {}, member(status, "peers"));
    text.add("smc_steer_same_host_addresses", {}, member(status, "same_host_addresses"));
    text.add("smc_steer_links", {}, member(member(status, "link"), "up"));
    text.add("smc_steer_link_strangers_total", {}, member(member(status, "link"), "strangers"));
    text.add("smc_steer_smcd_connections_total", {}, member(member(status, "connections"), "smcd"));
    add_workloads(status, text);
    add_counters(member(status, "counters"), text);
    for (const auto& reason : member(reasons, "reasons")) {
        text.add("smc_steer_fallbacks_total",
                 {{"side", text_of(reason, "side")},
                  {"code", text_of(reason, "code")},
                  {"name", text_of(reason, "name")}},
                 member(reason, "count"));
    }
    add_offload(member(status, "offload"), text);
    add_ivpci(member(status, "ivpci"), text);
    for (const auto& program : programs) {
        auto name = text_of(program, "name");
        text.add("smc_steer_bpf_runs_total", {{"program", name}}, member(program, "runs"));
        text.add("smc_steer_bpf_run_nanoseconds_total", {{"program", name}},
                 member(program, "nanoseconds"));
    }
    const auto& process = member(status, "process");
    text.add("smc_steer_upgrades_total", {}, member(process, "upgrades"));
    text.add("smc_steer_start_time_seconds", {}, member(process, "start_time"));
    text.add("smc_steer_open_descriptors", {}, member(process, "descriptors"));
    text.add("smc_steer_resident_bytes", {}, member(process, "resident_bytes"));
    return text.str();
}

}  // namespace smc_steer
