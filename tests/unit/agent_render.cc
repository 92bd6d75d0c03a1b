// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "agent/cli/render.h"
#include "agent/cli/render_policy.h"
#include "agent/cli/top.h"
#include "agent/cli/watch.h"
#include "agent/daemon/decision_json.h"
#include "agent/kernel/address.h"
#include "agent/policy/rule.h"

namespace smc_steer {
namespace {

using nlohmann::json;

TEST(AgentRender, TableColumnsLineUp) {
    EXPECT_EQ(render_table({{"A", "LONG", "C"}, {"wide", "x", ""}, {"y", "z", "end"}}),
              "A     LONG  C\nwide  x\ny     z     end\n");
    EXPECT_EQ(render_table({}), "");
}

TEST(AgentRender, Rules) {
    json answer = {{"default", "allow"},
                   {"default_from", "built-in"},
                   {"last_error", "p.yaml:3: nonsense"},
                   {"rules",
                    {{{"number", 1},
                      {"action", "deny"},
                      {"ports", {"22", "80-90"}},
                      {"direction", "in"},
                      {"workload", "uid:7"},
                      {"comment", "ssh"},
                      {"file", "p.yaml"},
                      {"line", 4}}}}};
    EXPECT_EQ(render_rules(answer),
              "NUMBER   ACTION  WAY  PORTS      PEERS  WORKLOAD  FROM      COMMENT\n"
              "1        deny    in   22,80-90   all    uid:7     p.yaml:4  ssh\n"
              "default  allow        all other                   built-in\n"
              "not in force: p.yaml:3: nonsense\n");
    answer["rules"][0].update({{"action", "allow"}, {"via", "smc"}});
    EXPECT_NE(render_rules(answer).find("allow via smc  in"), std::string::npos);
}

TEST(AgentRender, Explain) {
    json answer = {{"verdict", "TCP"},
                   {"because", "peer: nobody"},
                   {"end", "client"},
                   {"steps",
                    {{{"what", "rules"}, {"ok", true}, {"text", "the default"}},
                     {{"what", "peer"}, {"ok", false}, {"text", "nobody"}}}}};
    EXPECT_EQ(
        render_explain(answer),
        "TCP: peer: nobody\n"
        "  rules  yes  the default\n"
        "  peer   no   nobody\n"
        "This guest is the client. The other end decides for itself too: ask there as well.\n");
}

TEST(AgentRender, ChangesOfRules) {
    auto rule = [](const char* text, int line) {
        return json{{"text", text}, {"file", "p.yaml"}, {"line", line}};
    };
    json old = {{"default", "allow"},
                {"rules", {rule("deny 1", 2), rule("deny 2", 3), rule("deny 2", 4)}}};
    json now = {{"default", "deny"}, {"rules", {rule("deny 2", 2), rule("deny 3", 9)}}};
    EXPECT_EQ(render_changes(rule_changes(old, now)),
              "- default allow\n+ default deny\n"
              "- deny 1 (p.yaml:2)\n- deny 2 (p.yaml:4)\n+ deny 3 (p.yaml:9)\n");
    EXPECT_EQ(render_changes(rule_changes(old, old)), "no difference\n");
}

TEST(AgentRender, FlowsSayWhyTcp) {
    json answer = {{"flows",
                    {{{"mode", "TCP-fallback"},
                      {"local", "10.0.0.1:5"},
                      {"peer", "10.0.0.2:22"},
                      {"uid", 0},
                      {"inode", 7},
                      {"netns", 9},
                      {"reason", "0x03010000"},
                      {"reason_text", "not agreed in the TCP handshake"}}}},
                   {"totals", {{"smcd", 0}, {"tcp", 1}}}};
    auto text = render_flows(answer);
    EXPECT_NE(text.find("not agreed in the TCP handshake\n"), std::string::npos) << text;
    EXPECT_NE(text.find("0 SMC-D, 0 direct, 1 TCP\n"), std::string::npos) << text;
}

TEST(AgentRender, PodsInFlowsStatusAndMonitor) {
    auto flows =
        render_flows({{"flows",
                       {{{"mode", "SMC-D"}, {"workload", "/kubepods/pod1"}, {"pod", "a/b"}},
                        {{"mode", "TCP"}, {"workload", "/system.slice"}, {"pod", ""}}}}});
    EXPECT_NE(flows.find(" a/b"), std::string::npos) << flows;
    EXPECT_EQ(flows.find("/kubepods"), std::string::npos) << flows;
    EXPECT_NE(flows.find("/system.slice"), std::string::npos) << flows;

    auto pods = render_pods({{"pods",
                              {{{"namespace", "shop"},
                                {"name", "web-0"},
                                {"steered", false},
                                {"why", "annotation"},
                                {"cgroups", {"/kubepods/pod1"}}}}}});
    EXPECT_NE(pods.find("shop/web-0  no       annotation  /kubepods/pod1\n"), std::string::npos)
        << pods;

    auto status = render_status({{"state", "active"},
                                 {"pods",
                                  {{"known", 3},
                                   {"steered", 2},
                                   {"default", "on"},
                                   {"runtimes",
                                    {{{"runtime", "containerd 1.6"},
                                      {"socket", "/run/c.sock"},
                                      {"problem", "no answer"}}}}}},
                                 {"addresses", {{"published", 1016}, {"left_out", 4}}},
                                 {"coverage", {{"late", 7}, {"max_seconds", 0.012}}}});
    for (const char* text :
         {"3 known, 2 steered, default on", "containerd 1.6 at /run/c.sock: no answer",
          "1016 published, no room for 4 more", "7 new control groups", "0.012 s"}) {
        EXPECT_NE(status.find(text), std::string::npos) << text << " in\n" << status;
    }
    json event = {{"event", "pod"}, {"pod", "a/b"}, {"steered", false}, {"why", "annotation"}};
    EXPECT_EQ(render_decision(event), "pod     a/b            left alone, by annotation\n");
    EXPECT_EQ(render_decision({{"event", "pod_gone"}, {"pod", "a/b"}}),
              "pod     a/b            gone\n");
}

TEST(AgentRender, IdleStatusSaysWhy) {
    json answer = {{"state", "idle"},
                   {"reason", "module ivpci is not loaded"},
                   {"device", nullptr},
                   {"kernel", "6.1.0"}};
    auto text = render_status(answer);
    EXPECT_NE(text.find("idle: module ivpci is not loaded\n"), std::string::npos) << text;
    EXPECT_EQ(text.find("GID"), std::string::npos) << text;
}

TEST(AgentRender, BriefIsOneLine) {
    json answer = {{"state", "active"},
                   {"peers", 2},
                   {"connections", {{"smcd", 7}, {"tcp", 3}, {"failed", 1}}},
                   {"counters", {{"syn_denied", 2}, {"synack_denied", 2}}},
                   {"last_error", "p.yaml:3: nonsense"}};
    EXPECT_EQ(render_status_brief(answer),
              "active: 2 peers, 7 accelerated, 1 fell back, 4 denied, 3 TCP; rules are wrong\n");
    EXPECT_EQ(render_status_brief({{"state", "idle"}, {"reason", "no device"}}),
              "idle: no device\n");
}

TEST(AgentRender, ReasonsSayWhatToDo) {
    json answer = {{"reasons",
                    {{{"count", 3},
                      {"side", "client"},
                      {"code", "0x03030008"},
                      {"name", "NOUEID"},
                      {"text", "no common EID"},
                      {"remedy", "set it"}}}}};
    EXPECT_EQ(render_reasons(answer),
              "COUNT  SIDE    CODE        NAME    WHY            WHAT TO DO\n"
              "3      client  0x03030008  NOUEID  no common EID  set it\n");
    EXPECT_NE(render_reasons({{"reasons", json::array()}}).find("no steered socket"),
              std::string::npos);
}

TEST(AgentRender, EndpointsSayWhatComesNext) {
    json answer = {{"endpoints",
                    {{{"peer", "10.0.0.2"},
                      {"port", 80},
                      {"connections", 40},
                      {"short", 39},
                      {"mean_bytes", 1536},
                      {"mean_seconds", 0.0042},
                      {"stepped_back", true}}}}};
    EXPECT_EQ(render_endpoints(answer),
              "PEER      PORT  CLOSED  SHORT  MEAN BYTES  MEAN TIME  NEXT\n"
              "10.0.0.2  80    40      39     1.5 KiB     0.004s     TCP: too short\n");
    EXPECT_NE(render_endpoints({{"endpoints", json::array()}}).find("so far"), std::string::npos);
}

TEST(AgentRender, DecisionsNameTheirRule) {
    Policy policy = builtin_policy();
    steer_decision decision{};
    auto peer = Address::parse("10.0.0.2")->in6;
    std::copy(peer.begin(), peer.end(), decision.peer.in6);
    decision.server_port = 22;
    decision.decision = STEER_SYN_DENIED;
    auto text = render_decision(decision_json(decision, policy));
    EXPECT_TRUE(text.starts_with("client  denied         10.0.0.2 port 22  by deny 22")) << text;
    decision.server_port = 80;
    decision.decision = STEER_SYNACK_AGREED;
    EXPECT_EQ(render_decision(decision_json(decision, policy)),
              "server  agreed         10.0.0.2 port 80  by default allow\n");
    decision.decision = STEER_SYN_NOT_SAME_HOST;
    EXPECT_EQ(render_decision(decision_json(decision, policy)),
              "client  not_same_host  10.0.0.2 port 80\n");
}

TEST(AgentRender, NumbersForPeople) {
    EXPECT_EQ(human_bytes(12), "12 B");
    EXPECT_EQ(human_bytes(1536), "1.5 KiB");
    EXPECT_EQ(human_bytes(3ULL << 30), "3.0 GiB");
    EXPECT_EQ(human_time(4.24), "4.2s");
    EXPECT_EQ(human_time(187), "3m07s");
    EXPECT_EQ(human_time(7500), "2h05m");
}

TEST(AgentTop, RatesAndOrder) {
    auto flow = [](const char* peer, const char* mode, std::uint64_t sent) {
        return json{{"local", "10.0.0.1:5"},
                    {"peer", peer},
                    {"mode", mode},
                    {"inode", 1},
                    {"netns", 2},
                    {"bytes_sent", sent},
                    {"bytes_received", 0}};
    };
    json status = {{"state", "active"}};
    Top top;
    top.render(status, {{"flows", {flow("a:1", "SMC-D", 0), flow("b:1", "TCP", 0)}}}, 1, 9);
    auto text = top.render(
        status, {{"flows", {flow("a:1", "SMC-D", 1 << 20), flow("b:1", "TCP", 8 << 20)}}}, 2, 1);
    EXPECT_NE(text.find("512.0 KiB/s over shared memory, 4.0 MiB/s over TCP"), std::string::npos)
        << text;
    EXPECT_NE(text.find("b:1"), std::string::npos) << text;
    EXPECT_EQ(text.find("a:1"), std::string::npos) << text;
}

TEST(AgentWatch, Periods) {
    EXPECT_EQ(*parse_seconds("0.5"), 0.5);
    for (const char* text : {"", "0", "x", "1s", "-1", "nan", "inf", "1e9"}) {
        EXPECT_FALSE(parse_seconds(text)) << text;
    }
}

TEST(AgentRender, AnswersOfAnotherVersionDoNotCrash) {
    for (const auto& answer : {json::object(), json{{"rules", 1},
                                                    {"flows", "x"},
                                                    {"endpoints", {1}},
                                                    {"peers", {1, "a"}},
                                                    {"device", {1}},
                                                    {"did", 3}}}) {
        EXPECT_NO_THROW(render_status(answer));
        EXPECT_NO_THROW(render_peers(answer));
        EXPECT_NO_THROW(render_rules(answer));
        EXPECT_NO_THROW(render_flows(answer));
        EXPECT_NO_THROW(render_endpoints(answer));
        EXPECT_NO_THROW(render_reasons(answer));
        EXPECT_NO_THROW(render_status_brief(answer));
        EXPECT_NO_THROW(Top().render(answer, answer, 1, 5));
        EXPECT_NO_THROW(render_edit(answer));
        EXPECT_NO_THROW(render_explain(answer));
        EXPECT_NO_THROW(render_changes(rule_changes(answer, answer)));
    }
}

TEST(AgentRender, Edit) {
    EXPECT_EQ(
        render_edit({{"did", {"removed: deny 1", "added: allow 1"}}, {"warning", "deny wins"}}),
        "removed: deny 1\nadded: allow 1\nwarning: deny wins\n");
}

}  // namespace
}  // namespace smc_steer
