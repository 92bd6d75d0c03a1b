// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/cli/doctor.h"

namespace smc_steer {
namespace {

Facts healthy() {
    Facts facts;
    facts.features = {"7.3.4", true, true, true, true, true, true};
    facts.smc_bounded = true;
    facts.bpffs = true;
    facts.ivpci_module = true;
    facts.devices = {{"/dev/ivpci0", "", 3}};
    facts.syncookies = 1;
    facts.wmem = facts.rmem = 1 << 20;
    facts.status = {{"state", "active"},        {"agent", "0.1.0"}, {"eid", "X"},      {"peers", 1},
                    {"same_host_addresses", 2}, {"rules", 1},       {"last_error", ""}};
    return facts;
}

std::vector<std::string> complaints(const Facts& facts) {
    std::vector<std::string> list;
    for (const auto& each : diagnose(facts)) {
        EXPECT_EQ(each.verdict == Level::good, each.remedy.empty()) << each.what;
        EXPECT_EQ(each.finding.find('\n'), std::string::npos);
        if (each.verdict != Level::good) {
            list.push_back(each.what);
        }
    }
    return list;
}

using Names = std::vector<std::string>;

TEST(AgentDoctor, AHealthyMachineHasNoComplaints) {
    EXPECT_EQ(complaints(healthy()), Names{});
    EXPECT_EQ(findings_exit_code(diagnose(healthy())), 0);
}

// Debian's own kernels: no SMC, and nothing is said of it.
TEST(AgentDoctor, TheDirectPathNeedsNoSmc) {
    Facts facts = healthy();
    facts.features = {"6.12.95", false, false, false, false, true, true};
    facts.smc_bounded = facts.bpffs = facts.bpf_jit = false;
    facts.devices[0].smc = false;
    facts.wmem = facts.rmem = std::nullopt;
    facts.syncookies = 2;
    facts.tcp_ivpci = true;
    facts.status["path"] = "direct";
    facts.status["eid"] = "";
    EXPECT_EQ(complaints(facts), Names{});
    facts.tcp_ivpci = false;
    EXPECT_EQ(complaints(facts), Names{"direct path"});
    facts.tcp_ivpci = true;
    facts.features.cgroup2 = false;
    EXPECT_EQ(complaints(facts), Names{"cgroup2"});
    facts.features.cgroup2 = true;
    facts.status = nullptr;
    EXPECT_EQ(complaints(facts), Names{"smc-agent"});
}

// One thing wrong at a time: exactly that is named.
TEST(AgentDoctor, NamesWhatIsWrong) {
    auto with = [](auto change) {
        Facts facts = healthy();
        change(facts);
        return complaints(facts);
    };
    EXPECT_EQ(with([](Facts& f) { f.features.btf = false; }), Names{"kernel BTF"});
    EXPECT_EQ(with([](Facts& f) { f.features.smc = false; }), Names{"SMC"});
    EXPECT_EQ(with([](Facts& f) { f.features.hs_ctrl = false; }), Names{"smc_hs_ctrl"});
    EXPECT_EQ(with([](Facts& f) { f.features.fmod_ret = false; }), Names{"socket hook"});
    EXPECT_EQ(with([](Facts& f) { f.features.cgroup2 = false; }), Names{"cgroup2"});
    EXPECT_EQ(with([](Facts& f) { f.features.capable = false; }), Names{"privileges"});
    EXPECT_EQ(with([](Facts& f) { f.features.kernel = "6.19.2"; }), Names{"CVE-2026-23450"});
    EXPECT_EQ(with([](Facts& f) { f.smc_bounded = false; }), Names{"shared memory"});
    EXPECT_EQ(with([](Facts& f) {
                  f.smc_bounded = false;
                  f.status = nullptr;
              }),
              (Names{"shared memory", "smc-agent"}));
    EXPECT_EQ(with([](Facts& f) {
                  f.smc_bounded = false;
                  f.status["trust"] = {{"region", false}};
              }),
              Names{"shared memory"});
    EXPECT_EQ(with([](Facts& f) {
                  f.smc_bounded = false;
                  f.status["trust"] = {{"region", true}};
              }),
              Names{});
    EXPECT_EQ(with([](Facts& f) { f.bpffs = false; }), Names{"bpffs"});
    EXPECT_EQ(with([](Facts& f) { f.bpf_jit = false; }), Names{"BPF JIT"});
    EXPECT_EQ(with([](Facts& f) { f.lockdown = "confidentiality"; }), Names{"lockdown"});
    EXPECT_EQ(with([](Facts& f) { f.lockdown = "integrity"; }), Names{});
    EXPECT_EQ(with([](Facts& f) { f.selinux_enforcing = true; }), Names{"SELinux"});
    EXPECT_EQ(with([](Facts& f) { f.selinux_enforcing = false; }), Names{});
    EXPECT_EQ(with([](Facts& f) { f.syncookies = 2; }), Names{"SYN cookies"});
    EXPECT_EQ(with([](Facts& f) { f.ivpci_module = false; }), Names{"module ivpci"});
    EXPECT_EQ(with([](Facts& f) { f.devices.clear(); }), Names{"device"});
    EXPECT_EQ(with([](Facts& f) { f.devices[0].generation = 0; }), Names{"/dev/ivpci0"});
    EXPECT_EQ(with([](Facts& f) { f.devices[0].error = "no"; }), Names{"/dev/ivpci0"});
    EXPECT_EQ(with([](Facts& f) { f.devices[0].smc = false; }), Names{"/dev/ivpci0"});
    EXPECT_EQ(with([](Facts& f) { f.wmem = 65536; }), Names{"net.smc.wmem, rmem"});
    EXPECT_EQ(with([](Facts& f) { f.status = nullptr; }), Names{"smc-agent"});
    EXPECT_EQ(with([](Facts& f) { f.status["state"] = "idle"; }), Names{"smc-agent"});
    EXPECT_EQ(with([](Facts& f) { f.status["eid"] = ""; }), Names{"EID"});
    EXPECT_EQ(with([](Facts& f) { f.status["peers"] = 0; }), Names{"peers"});
    EXPECT_EQ(with([](Facts& f) { f.status["same_host_addresses"] = 0; }), Names{"peers"});
    EXPECT_EQ(with([](Facts& f) { f.status["last_error"] = "p.yaml:1: x"; }), Names{"rules"});
}

// Whatever else is true: it is so with any kernel, and trusted or not.
TEST(AgentDoctor, WhatMembersCanDoIsAlwaysSaid) {
    constexpr const char* kAlways = "can read and change the bytes of all connections";
    Facts facts = healthy();
    auto said = [&facts] { return render_findings(diagnose(facts)); };
    EXPECT_NE(said().find(kAlways), std::string::npos) << said();
    EXPECT_EQ(said().find("harm this kernel"), std::string::npos) << said();
    facts.smc_bounded = false;
    for (bool region : {false, true}) {
        facts.status["trust"]["region"] = region;
        EXPECT_NE(said().find(kAlways), std::string::npos) << said();
        EXPECT_NE(said().find("harm this kernel"), std::string::npos) << said();
    }
    facts.status = nullptr;
    EXPECT_NE(said().find(kAlways), std::string::npos) << said();
}

TEST(AgentDoctor, WarningsDoNotFail) {
    Facts facts = healthy();
    facts.bpffs = false;
    EXPECT_EQ(findings_exit_code(diagnose(facts)), 0);
    Facts unbounded = healthy();
    unbounded.smc_bounded = false;
    EXPECT_EQ(findings_exit_code(diagnose(unbounded)), 1);
    facts.syncookies = 2;
    EXPECT_EQ(findings_exit_code(diagnose(facts)), 1);
    auto text = render_findings(diagnose(facts));
    EXPECT_NE(text.find("BAD   SYN cookies"), std::string::npos) << text;
    EXPECT_NE(text.find("-> 'sysctl net.ipv4.tcp_syncookies=1'"), std::string::npos) << text;
    EXPECT_EQ(findings_json(diagnose(facts))["findings"].size(), diagnose(facts).size());
}

}  // namespace
}  // namespace smc_steer
