// SPDX-License-Identifier: Apache-2.0
// What the status page makes of what others wrote, and how much of it.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "agent/daemon/status_page.h"

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr const char* kHostile = "</td><script>alert(1)</script>\"'&\x1b[2J\xff\xe2\x80\xae";

std::string count_text(const std::string& text, const std::string& word) {
    std::size_t count = 0;
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
        count++;
    }
    return std::to_string(count);
}

std::string file(const std::string& name) {
    std::ifstream in(std::string(SMC_STEER_SOURCE_DIR) + "/agent/daemon/page/" + name);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

json flow(const std::string& mode, std::uint64_t bytes, const std::string& workload) {
    return {{"mode", mode},
            {"workload", workload},
            {"local", "10.0.0.1:80"},
            {"peer", "10.0.0.2:4000"},
            {"bytes_sent", bytes},
            {"bytes_received", 0},
            {"age_seconds", 3.5},
            {"reason", mode == "SMC-D" ? "" : "0x05000000"},
            {"reason_text", mode == "SMC-D" ? "" : "not agreed in the TCP handshake"}};
}

// Every text of an agent's that somebody else may have written is `text`.
PageFacts facts_with(const std::string& text) {
    PageFacts facts;
    facts.node = text;
    facts.status = {
        {"state", "active"},
        {"reason", text},
        {"last_error", text},
        {"agent", "0.1.0"},
        {"kernel", text},
        {"eid", text},
        {"device", {{"slot", 2}, {"slots", 16}, {"region", {{"uuid", text}, {"size", 1 << 28}}}}},
        {"peers", 1},
        {"link", {{"up", 1}}},
        {"connections", {{"smcd", 7}, {"failed", 1}}}};
    facts.peers = {{{"slot", 3},
                    {"name", text},
                    {"state", "LIVE"},
                    {"link", "down"},
                    {"link_problem", text},
                    {"agent", text},
                    {"addresses", {text}}}};
    facts.flows = {{"flows", {flow("SMC-D", 5, text), flow("TCP-fallback", 6, text)}},
                   {"totals", {{"smcd", 1}, {"tcp", 1}}}};
    facts.reasons = {
        {{"count", 3}, {"side", text}, {"name", text}, {"text", text}, {"remedy", text}}};
    return facts;
}

TEST(StatusPage, WhatOthersWroteIsTextAndNoMarkup) {
    auto view = page_view(facts_with(kHostile), {}, 0);
    auto html = page_html(view).body;
    EXPECT_EQ(html.find("<script>"), std::string::npos);
    EXPECT_EQ(count_text(html, "<script"), "1") << "the page's own";
    EXPECT_EQ(count_text(html, "alert(1)"), count_text(html, "&lt;script&gt;alert(1)"));
    EXPECT_EQ(html.find('\x1b'), std::string::npos);
    EXPECT_EQ(html.find('\xff'), std::string::npos);
    EXPECT_NE(html.find("&quot;&apos;&amp; [2J\xef\xbf\xbd"), std::string::npos) << html;
    // Valid UTF-8, or this throws.
    EXPECT_EQ(json::parse(page_json(view).body), view);
}

TEST(StatusPage, TheTemplateEscapesEverything) {
    auto html = file("status.html");
    ASSERT_FALSE(html.empty());
    EXPECT_EQ(html.find("{{{"), std::string::npos);
    EXPECT_EQ(html.find("{{&"), std::string::npos);
    // And what it names exists.
    auto filled = page_html(page_view(facts_with("SOME TEXT"), {}, 0)).body;
    EXPECT_EQ(filled.find("{{"), std::string::npos);
    auto view = page_view(facts_with("x"), {}, 0);
    std::regex place("data-text=\"([a-z]+)\\.([a-z_]+)\"");
    int places = 0;
    for (std::sregex_iterator it(html.begin(), html.end(), place), end; it != end; ++it) {
        EXPECT_TRUE(view.at((*it)[1]).contains((*it)[2])) << (*it)[0];
        places++;
    }
    EXPECT_GE(places, 15);
    std::regex rows("data-rows=\"([a-z]+)\" data-columns=\"([a-z ]+)\"");
    int tables = 0;
    for (std::sregex_iterator it(html.begin(), html.end(), rows), end; it != end; ++it) {
        std::istringstream columns((*it)[2]);
        for (std::string column; columns >> column;) {
            EXPECT_TRUE(view.at((*it)[1]).at(0).contains(column)) << (*it)[0];
        }
        tables++;
    }
    EXPECT_EQ(tables, 4);
}

TEST(StatusPage, NothingComesFromElsewhere) {
    for (const char* name : {"status.html", "status.css", "status.js"}) {
        auto text = file(name);
        EXPECT_FALSE(text.empty()) << name;
        for (const char* word :
             {"https:", "//cdn", "url(", "@import", "innerHTML", "outerHTML", "insertAdjacentHTML",
              "document.write", "eval(", "style=", " onclick", " onload"}) {
            EXPECT_EQ(text.find(word), std::string::npos) << name << " has " << word;
        }
    }
    EXPECT_EQ(count_text(file("status.html"), "<script"), "1");
    auto page = page_html(page_view(facts_with("x"), {}, 0));
    std::map<std::string, std::string> headers(page.headers.begin(), page.headers.end());
    EXPECT_TRUE(headers["Content-Security-Policy"].starts_with("default-src 'none'"));
    EXPECT_EQ(headers["Content-Security-Policy"].find("unsafe"), std::string::npos);
    EXPECT_EQ(headers["X-Content-Type-Options"], "nosniff");
    EXPECT_EQ(headers["Cross-Origin-Resource-Policy"], "same-origin");
    ASSERT_NE(page_file("/status.css"), nullptr);
    ASSERT_NE(page_file("/status.js"), nullptr);
    EXPECT_EQ(page_file("/status.js")->body, file("status.js"));
    EXPECT_EQ(page_file("/status.css")->body, file("status.css"));
    EXPECT_EQ(page_file("/../status.js"), nullptr);
    EXPECT_EQ(page_file("/status.html"), nullptr);
}

TEST(StatusPage, ManyOfEverythingIsBounded) {
    auto facts = facts_with(std::string(100'000, '<'));
    facts.flows["flows"] = json::array();
    for (std::uint64_t i = 0; i < 5000; i++) {
        facts.flows["flows"].push_back(
            flow(i % 2 ? "SMC-D" : "TCP", i, std::string(100'000 / 500, '<')));
    }
    auto peer = facts.peers[0];
    for (int i = 0; i < 2000; i++) {
        peer["addresses"].push_back("10.0.0." + std::to_string(i));
    }
    facts.peers = json::array();
    for (int i = 0; i < 500; i++) {
        facts.peers.push_back(peer);
    }
    Throughput throughput;
    for (std::uint64_t i = 0; i < 100'000; i++) {
        throughput.add((i + 1) * Throughput::kPeriodNs, i * 1'000'000'000'000, i);
    }
    auto view = page_view(facts, throughput, 0);
    EXPECT_EQ(view["flows"].size(), kPageFlows);
    EXPECT_EQ(view["flows"][0]["mode"], "SMC-D");
    EXPECT_EQ(view["flows"][0]["sent"], "4.9 KiB") << "the one that moved most";
    EXPECT_EQ(view["more"]["flows"], "and 4800 more connections: smc-policy flows shows them all");
    EXPECT_EQ(view["peers"].size(), kPagePeers);
    EXPECT_NE(view["peers"][0]["addresses"].get<std::string>().find(" and 1993 more"),
              std::string::npos);
    EXPECT_EQ(view["plot"]["sent"].size(), Throughput::kPeriods);
    EXPECT_LT(page_html(view).body.size(), 2U << 20);
    EXPECT_LT(page_json(view).body.size(), 1U << 20);
}

TEST(StatusPage, AnIdleAgentHasAPageToo) {
    PageFacts facts;
    facts.node = "node-1";
    facts.status = {{"state", "idle"}, {"reason", "no ivpci device"}};
    facts.flows = json::object();
    facts.peers = facts.reasons = json::array();
    auto html = page_html(page_view(facts, {}, 0)).body;
    EXPECT_NE(html.find("no ivpci device"), std::string::npos);
    EXPECT_NE(html.find("class=\"state idle\""), std::string::npos);
    EXPECT_EQ(count_text(html, "<tbody class=\"empty\""), "3");
}

TEST(Throughput, RatesOfPeriods) {
    Throughput throughput;
    throughput.add(10 * kSecond, 500, 50);
    EXPECT_TRUE(throughput.rates().empty()) << "what came before is nobody's rate";
    throughput.add(11 * kSecond, 900, 90);  // within the period
    throughput.add(12 * kSecond, 2500, 1050);
    throughput.add(16 * kSecond, 6500, 1050);  // a late one
    ASSERT_EQ(throughput.rates().size(), 2U);
    EXPECT_EQ(throughput.rates()[0].sent, 1000U);
    EXPECT_EQ(throughput.rates()[0].received, 500U);
    EXPECT_EQ(throughput.rates()[1].sent, 1000U);
    EXPECT_EQ(throughput.rates()[1].received, 0U);
    EXPECT_EQ(throughput.mean(2).received, 0U);
    EXPECT_EQ(throughput.mean(60).received, 250U);
}

TEST(Throughput, TotalsThatStartAnewAreNoRate) {
    Throughput throughput;
    throughput.add(10 * kSecond, 1'000'000, 0);
    throughput.add(12 * kSecond, 10, 0);
    throughput.add(14 * kSecond, 2010, 0);
    EXPECT_EQ(throughput.rates()[0].sent, 0U);
    EXPECT_EQ(throughput.rates()[1].sent, 1000U);
}

}  // namespace
}  // namespace smc_steer
