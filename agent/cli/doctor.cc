// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "agent/cli/render.h"

namespace smc_steer {
namespace {

using nlohmann::json;

class Report {
public:
    void good(std::string what, std::string finding) {
        list_.push_back({Level::good, std::move(what), std::move(finding), ""});
    }
    void warning(std::string what, std::string finding, std::string remedy) {
        list_.push_back({Level::warning, std::move(what), std::move(finding), std::move(remedy)});
    }
    void bad(std::string what, std::string finding, std::string remedy) {
        list_.push_back({Level::bad, std::move(what), std::move(finding), std::move(remedy)});
    }
    void must(bool fine, const std::string& what, const std::string& good_text,
              const std::string& bad_text, const std::string& remedy) {
        fine ? good(what, good_text) : bad(what, bad_text, remedy);
    }
    std::vector<Finding> take() { return std::move(list_); }

private:
    std::vector<Finding> list_;
};

bool is_direct(const Facts& facts) {
    if (!facts.status.is_object()) {
        return facts.tcp_ivpci;
    }
    return facts.status.value("path", "") == "direct";
}

void look_at_direct(const Facts& facts, Report& report) {
    const auto& f = facts.features;
    report.must(f.capable, "privileges", "enough to look at everything",
                "some of the findings below may be wrong", "run 'smc-policy doctor' as root");
    report.must(f.cgroup2, "cgroup2", "/sys/fs/cgroup", "not mounted",
                "'mount -t cgroup2 none /sys/fs/cgroup'");
    report.must(facts.tcp_ivpci, "direct path",
                "kernel " + f.kernel + ", module tcp_ivpci is loaded",
                "module tcp_ivpci is not loaded",
                "'modprobe tcp_ivpci'; a kernel without CONFIG_PREEMPTION has none");
    report.good("shared memory",
                "members of the region can read and change the bytes of all connections in it");
}

void look_at_kernel(const Features& f, Report& report) {
    report.must(f.capable, "privileges", "enough to look at everything",
                "some of the findings below may be wrong", "run 'smc-policy doctor' as root");
    report.must(f.btf, "kernel BTF", "/sys/kernel/btf/vmlinux", "missing",
                "use a kernel with CONFIG_DEBUG_INFO_BTF");
    report.must(
        f.smc, "SMC", "AF_SMC sockets can be made", "there are no AF_SMC sockets",
        "'modprobe smc', or use a kernel >= 6.19 with CONFIG_SMC, or 'modprobe tcp_ivpci' for "
        "the direct path");
    report.must(f.hs_ctrl, "smc_hs_ctrl", "BPF can decide who is offered SMC", "missing",
                "'modprobe tcp_ivpci' for the direct path, or use a kernel >= 6.19 with "
                "CONFIG_SMC_HS_CTRL_BPF, and load smc");
    report.must(
        f.fmod_ret, "socket hook", "update_socket_protocol can be modified", "missing",
        "'modprobe tcp_ivpci' for the direct path, or use a kernel >= 6.6 with CONFIG_MPTCP");
    report.must(f.cgroup2, "cgroup2", "/sys/fs/cgroup", "not mounted",
                "'mount -t cgroup2 none /sys/fs/cgroup'");

    int major = 0;
    std::sscanf(f.kernel.c_str(), "%d", &major);
    if (major >= 7) {
        report.good("CVE-2026-23450", fmt::format("fixed in kernel {}", f.kernel));
    } else {
        report.warning(
            "CVE-2026-23450",
            fmt::format("kernel {} may have the use after free in SMC listeners", f.kernel),
            "make sure that it has upstream commit 6d5e4538364b, or use a kernel >= 7.0");
    }
}

// What the agent goes by is asked of it: agent.yaml may be anywhere.
void look_at_trust(const Facts& facts, Report& report) {
    constexpr const char* kWhat = "shared memory";
    constexpr const char* kBytes =
        "members of the region can read and change the bytes of all connections in it";
    constexpr const char* kHarm =
        ", and harm this kernel: net/smc does not bound what it reads from there";
    const std::string unbounded = std::string(kBytes) + kHarm;
    constexpr const char* kRemedy =
        "write 'trust: region' into agent.yaml if all members of the region trust each other, or "
        "use a kernel whose net/smc does";
    const bool trusted = facts.status.is_object() && facts.status.contains("trust") &&
                         facts.status["trust"].value("region", false);
    if (!facts.features.smc) {
        return;
    }
    if (facts.smc_bounded) {
        report.good(kWhat, std::string(kBytes) + "; net/smc bounds what it reads from there");
    } else if (trusted) {
        report.good(kWhat, unbounded + "; trust: region says they may");
    } else if (facts.status.is_object()) {
        report.bad(kWhat, unbounded + "; nothing is steered", kRemedy);
    } else {
        report.warning(kWhat, unbounded, kRemedy);
    }
}

void look_at_machine(const Facts& facts, Report& report) {
    if (facts.bpffs) {
        report.good("bpffs", "/sys/fs/bpf");
    } else {
        report.warning("bpffs", "not mounted: counters start anew with every agent",
                       "'mount -t bpf bpf /sys/fs/bpf'");
    }
    if (facts.bpf_jit) {
        report.good("BPF JIT", "on");
    } else {
        report.warning("BPF JIT", "off: programs are interpreted",
                       "'sysctl net.core.bpf_jit_enable=1'");
    }
    if (facts.lockdown == "confidentiality") {
        report.bad("lockdown", "confidentiality: BPF may not read kernel memory",
                   "boot with lockdown=integrity or none");
    } else {
        report.good("lockdown", facts.lockdown.empty() ? "not in this kernel" : facts.lockdown);
    }
    if (facts.selinux_enforcing.value_or(false)) {
        report.warning("SELinux", "enforcing: programs need the class smc_socket",
                       "look for 'smc_socket' in 'ausearch -m avc' and allow what is denied");
    } else {
        report.good("SELinux", facts.selinux_enforcing ? "permissive" : "not in use");
    }
    switch (facts.syncookies.value_or(0)) {
        case 2:
            report.bad("SYN cookies", "always on: no connection of a server agrees on SMC",
                       "'sysctl net.ipv4.tcp_syncookies=1'");
            break;
        case 1:
            report.good("SYN cookies", "only under a SYN flood; then connections are plain TCP");
            break;
        default:
            report.good("SYN cookies", "off");
    }
}

void look_at_device(const Facts& facts, Report& report) {
    report.must(facts.ivpci_module, "module ivpci", "loaded", "not loaded",
                "install ivpci.ko for this kernel and 'modprobe ivpci'");
    if (facts.devices.empty()) {
        report.bad("device", "there is no /dev/ivpciN",
                   "give the guest an ivshmem-doorbell device (docs/SHARED-MEMORY.md), load ivpci");
    }
    for (const auto& device : facts.devices) {
        if (!device.error.empty()) {
            report.bad(device.path, device.error, "run as root; 'dmesg | grep ivpci' says more");
        } else if (device.generation == 0) {
            report.bad(device.path, "has not joined its region",
                       "is ivpci-broker running on the host, and has it a free slot?");
        } else if (!device.smc && !is_direct(facts)) {
            report.bad(device.path,
                       fmt::format("joined, generation {}; this kernel has no SMC that takes it",
                                   device.generation),
                       "'modprobe tcp_ivpci' for the direct path, or use a kernel >= 6.19 with "
                       "CONFIG_DIBS and CONFIG_SMC");
        } else {
            report.good(device.path, fmt::format("joined, generation {}", device.generation));
        }
    }
    constexpr int kSmall = 256 << 10;
    if (is_direct(facts)) {
        return;
    }
    if (facts.wmem && facts.rmem && std::min(*facts.wmem, *facts.rmem) < kSmall) {
        report.warning(
            "net.smc.wmem, rmem",
            fmt::format("{} and {}: streams are slow with small buffers", *facts.wmem, *facts.rmem),
            "set wmem and rmem in agent.yaml, 1MiB is a good start");
    } else if (facts.wmem && facts.rmem) {
        report.good("net.smc.wmem, rmem", fmt::format("{} and {}", *facts.wmem, *facts.rmem));
    }
}

void look_at_agent(const Facts& facts, Report& report) {
    if (!facts.status.is_object()) {
        report.bad("smc-agent", facts.agent_error, "'systemctl start smc-agent'");
        return;
    }
    auto text = [&](const char* name) { return facts.status.value(name, std::string()); };
    if (text("state") != "active") {
        report.bad("smc-agent", "idle: " + text("reason"),
                   "put right what is named; the agent looks again every three seconds");
        return;
    }
    report.good("smc-agent", "active, version " + text("agent"));
    if (!is_direct(facts)) {
        report.must(!text("eid").empty(), "EID", text("eid"),
                    "none: every connection would fall back", "set eid in agent.yaml");
    }
    if (facts.status.value("peers", 0) == 0) {
        report.warning("peers", "no other guest is in the region",
                       "start smc-agent in the others; is it the same broker's region?");
    } else if (facts.status.value("same_host_addresses", 0) == 0) {
        report.warning("peers", "other guests publish no addresses",
                       "is smc-agent active in them? 'smc-policy peers' lists them");
    } else {
        report.good("peers", fmt::format("{} with {} addresses", facts.status.value("peers", 0),
                                         facts.status.value("same_host_addresses", 0)));
    }
    if (auto error = text("last_error"); !error.empty()) {
        report.bad("rules", error, "correct the file; the rules before it are in force");
    } else {
        report.good("rules", fmt::format("{} in force", facts.status.value("rules", 0)));
    }
}

const char* word(Level verdict) {
    switch (verdict) {
        case Level::good:
            return "ok";
        case Level::warning:
            return "WARN";
        case Level::bad:
            break;
    }
    return "BAD";
}

}  // namespace

std::vector<Finding> diagnose(const Facts& facts) {
    Report report;
    if (is_direct(facts)) {
        look_at_direct(facts, report);
    } else {
        look_at_kernel(facts.features, report);
        look_at_trust(facts, report);
        look_at_machine(facts, report);
    }
    look_at_device(facts, report);
    look_at_agent(facts, report);
    return report.take();
}

std::string render_findings(const std::vector<Finding>& findings) {
    std::vector<std::vector<std::string>> rows;
    rows.reserve(findings.size());
    for (const auto& each : findings) {
        rows.push_back({word(each.verdict), each.what,
                        each.finding + (each.remedy.empty() ? "" : " -> " + each.remedy)});
    }
    return render_table(rows);
}

json findings_json(const std::vector<Finding>& findings) {
    json list = json::array();
    for (const auto& each : findings) {
        list.push_back({{"verdict", word(each.verdict)},
                        {"what", each.what},
                        {"finding", each.finding},
                        {"remedy", each.remedy}});
    }
    return {{"findings", std::move(list)}};
}

int findings_exit_code(const std::vector<Finding>& findings) {
    return std::any_of(findings.begin(), findings.end(),
                       [](const Finding& each) { return each.verdict == Level::bad; })
               ? 1
               : 0;
}

}  // namespace smc_steer
