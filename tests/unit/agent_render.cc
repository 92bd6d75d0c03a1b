// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/cli/render.h"

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
                      {"comment", "ssh"},
                      {"file", "p.yaml"},
                      {"line", 4}}}}};
    EXPECT_EQ(render_rules(answer),
              "NUMBER   ACTION  PORTS      FROM      COMMENT\n"
              "1        deny    22,80-90   p.yaml:4  ssh\n"
              "default  allow   all other  built-in\n"
              "not in force: p.yaml:3: nonsense\n");
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
    EXPECT_NE(text.find("0x03010000 not agreed in the TCP handshake\n"), std::string::npos) << text;
    EXPECT_NE(text.find("0 SMC-D, 1 TCP\n"), std::string::npos) << text;
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

TEST(AgentRender, AnswersOfAnotherVersionDoNotCrash) {
    for (const auto& answer :
         {json::object(),
          json{{"rules", 1}, {"flows", "x"}, {"peers", {1, "a"}}, {"device", {1}}, {"did", 3}}}) {
        EXPECT_NO_THROW(render_status(answer));
        EXPECT_NO_THROW(render_peers(answer));
        EXPECT_NO_THROW(render_rules(answer));
        EXPECT_NO_THROW(render_flows(answer));
        EXPECT_NO_THROW(render_edit(answer));
    }
}

TEST(AgentRender, Edit) {
    EXPECT_EQ(
        render_edit({{"did", {"removed: deny 1", "added: allow 1"}}, {"warning", "deny wins"}}),
        "removed: deny 1\nadded: allow 1\nwarning: deny wins\n");
}

}  // namespace
}  // namespace smc_steer
