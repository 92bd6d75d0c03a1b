// SPDX-License-Identifier: Apache-2.0
// The metrics, their table in docs/OPERATIONS.md and the dashboard that queries them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "agent/daemon/metrics.h"

namespace smc_steer {
namespace {

using nlohmann::json;

std::string text_of(const std::string& path) {
    std::ifstream file(std::string(SMC_STEER_SOURCE_DIR) + "/" + path);
    EXPECT_TRUE(file) << path;
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

// An agent that has something to say of everything.
std::string full_text() {
    json status = {
        {"state", "active"},
        {"agent", "1.2.3"},
        {"kernel", "7.3\"4"},
        {"last_error", ""},
        {"rules", 2},
        {"netns", 3},
        {"peers", 1},
        {"same_host_addresses", 2},
        {"counters",
         {{"sockets_steered", 9},
          {"syn_offered", 1},
          {"synack_denied", 2},
          {"established_smc", 3},
          {"closed_other", 4},
          {"guard_kept", 5}}},
        {"connections", {{"smcd", 5}}},
        {"pods",
         {{"known", 3},
          {"steered", 2},
          {"runtimes", {{{"problem", ""}}, {{"problem", "no answer"}}}}}},
        {"addresses", {{"published", 4}, {"left_out", 0}}},
        {"coverage",
         {{"inside", 5},
          {"late", 3},
          {"seconds", 0.02},
          {"max_seconds", 0.012},
          {"buckets",
           {{{"le_milliseconds", 1}, {"count", 1}}, {{"le_milliseconds", 20}, {"count", 3}}}}}},
        {"link", {{"up", 1}, {"strangers", 6}}},
        {"offload",
         {{"connections", 1},
          {"moved", 2},
          {"failed", 3},
          {"ring_bytes", 4},
          {"back", {{"idle", 5}, {"denied", 6}, {"evicted", 7}, {"share", 9}, {"peer", 8}}}}},
        {"process",
         {{"upgrades", 0}, {"start_time", 7}, {"descriptors", 8}, {"resident_bytes", 9}}},
    };
    json ivpci = json::object();
    for (const char* name : {"dmbs",
                             "dmbs_parked",
                             "dmb_bytes",
                             "chunks",
                             "attachments",
                             "registered",
                             "refused_full",
                             "refused_index",
                             "refused_peer",
                             "refused_header",
                             "polls",
                             "poll_hits",
                             "poll_nanoseconds",
                             "header_tampered",
                             "peers_silent",
                             "poll_rests",
                             "bytes_sent",
                             "signals_sent",
                             "doorbells_sent",
                             "doorbells_skipped",
                             "ring_overflows",
                             "interrupts",
                             "signals_received",
                             "full_scans",
                             "peers_lost"}) {
        ivpci[name] = 1;
    }
    status["ivpci"] = ivpci;
    json reasons = {
        {"reasons",
         {{{"side", "client"}, {"code", "0x03030008"}, {"name", "NOUEID"}, {"count", 4}}}}};
    json programs = {{{"name", "flows"}, {"runs", 10}, {"nanoseconds", 1000}}};
    return render_metrics(status, reasons, programs);
}

std::set<std::string> names_in(const std::string& text, const std::string& pattern) {
    std::set<std::string> names;
    std::regex regex(pattern);
    for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it) {
        names.insert((*it)[1]);
    }
    return names;
}

std::set<std::string> family_names() {
    std::set<std::string> names;
    for (const auto& family : metric_families()) {
        names.insert(std::string(family.name));
    }
    return names;
}

TEST(AgentMetrics, EveryFamilyIsThereOnce) {
    auto text = full_text();
    EXPECT_EQ(names_in(text, "# TYPE ([a-z_]+) "), family_names());
    // A histogram has lines of three names.
    auto lines = names_in(text, "(?:^|\n)([a-z_]+)[{ ]");
    for (const char* part : {"_bucket", "_sum", "_count"}) {
        EXPECT_EQ(lines.erase(std::string("smc_steer_coverage_seconds") + part), 1U) << part;
    }
    lines.insert("smc_steer_coverage_seconds");
    EXPECT_EQ(lines, family_names());
    EXPECT_NE(text.find("smc_steer_coverage_seconds_bucket{le=\"0.001\"} 1\n"
                        "smc_steer_coverage_seconds_bucket{le=\"0.02\"} 3\n"
                        "smc_steer_coverage_seconds_bucket{le=\"+Inf\"} 3\n"
                        "smc_steer_coverage_seconds_sum 0.02\n"
                        "smc_steer_coverage_seconds_count 3\n"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("smc_steer_container_runtimes{state=\"silent\"} 1\n"), std::string::npos);
    EXPECT_NE(text.find("smc_steer_agent_info{version=\"1.2.3\",kernel=\"7.3\\\"4\"} 1\n"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("smc_steer_syn_total{decision=\"offered\"} 1\n"), std::string::npos);
    EXPECT_NE(text.find("smc_steer_ivpci_refused_total{reason=\"full\"} 1\n"), std::string::npos);
    EXPECT_NE(text.find("smc_steer_ivpci_refused_total{reason=\"header\"} 1\n"), std::string::npos);
    EXPECT_NE(text.find("smc_steer_fallbacks_total{side=\"client\",code=\"0x03030008\","
                        "name=\"NOUEID\"} 4\n"),
              std::string::npos);
    EXPECT_NE(text.find("smc_steer_bpf_run_nanoseconds_total{program=\"flows\"} 1000\n"),
              std::string::npos);
}

TEST(AgentMetrics, CountersAreCalledTotal) {
    for (const auto& family : metric_families()) {
        EXPECT_EQ(family.type == "counter", family.name.ends_with("_total")) << family.name;
    }
}

TEST(AgentMetrics, AnIdleAgentHasFewer) {
    auto text = render_metrics({{"state", "idle"}}, json::object(), json::array());
    EXPECT_NE(text.find("smc_steer_active 0\n"), std::string::npos);
    EXPECT_EQ(text.find("ivpci"), std::string::npos);
}

TEST(AgentMetrics, TheTableInTheManualIsTheTruth) {
    std::set<std::string> rows;
    for (const auto& family : metric_families()) {
        std::string labels(family.labels);
        rows.insert("| `" + std::string(family.name) + "` | " + std::string(family.type) + " | " +
                    labels + (labels.empty() ? "" : " ") + "| " + std::string(family.help) + " |");
    }
    std::set<std::string> in_manual;
    std::istringstream lines(text_of("docs/OPERATIONS.md"));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("| `smc_steer_")) {
            in_manual.insert(line);
        }
    }
    EXPECT_EQ(in_manual, rows);
}

TEST(AgentMetrics, TheDashboardQueriesOnlyThese) {
    auto dashboard = json::parse(text_of("deploy/grafana/smc-steer.json"));
    std::set<std::string> queried;
    int panels = 0;
    for (const auto& panel : dashboard.at("panels")) {
        panels++;
        for (const auto& target : panel.at("targets")) {
            auto names = names_in(target.at("expr").get<std::string>(), "(smc_steer_[a-z_]+)");
            EXPECT_FALSE(names.empty()) << target;
            queried.merge(names);
        }
    }
    EXPECT_GE(panels, 6);
    auto known = family_names();
    for (const auto& name : queried) {
        EXPECT_TRUE(known.contains(name)) << name;
    }
}

}  // namespace
}  // namespace smc_steer
