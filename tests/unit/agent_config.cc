// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "agent/daemon/config.h"

namespace smc_steer {
namespace {

std::string error_of(const char* text) {
    auto config = parse_config(text, "a.yaml");
    return config ? "(was read)" : config.error().message;
}

TEST(AgentConfig, EmptyIsTheDefaults) {
    auto config = parse_config("", "a.yaml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->device, "auto");
    EXPECT_EQ(config->wmem, 1 << 20);
    EXPECT_EQ(config->rmem, 1 << 20);
    EXPECT_EQ(config->workloads, container_cgroups());
    EXPECT_EQ(config->eid, "auto");
    EXPECT_EQ(config->when_unsupported, WhenUnsupported::exit);
    EXPECT_TRUE(config->pods);
    EXPECT_EQ(config->cri, "auto");
    EXPECT_FALSE(config->status_page);
}

TEST(AgentConfig, PodsAndTheirRuntime) {
    EXPECT_FALSE(parse_config("pods: {default: off}\n", "a")->pods);
    EXPECT_TRUE(parse_config("pods: {default: on}\n", "a")->pods);
    EXPECT_EQ(parse_config("cri: off\n", "a")->cri, "off");
    EXPECT_EQ(parse_config("cri: unix:///run/x.sock\n", "a")->cri, "/run/x.sock");
    EXPECT_EQ(parse_config("cri: /run/x.sock\n", "a")->cri, "/run/x.sock");
    for (const char* text : {"cri: x.sock\n", "cri: tcp://127.0.0.1\n", "cri: unix://x\n"}) {
        EXPECT_NE(error_of(text).find("a.yaml:1: cri: must be auto, off or a runtime's socket"),
                  std::string::npos)
            << error_of(text);
    }
    EXPECT_EQ(error_of("pods: {default: maybe}\n"),
              "a.yaml:1: default: must be on or off, not 'maybe'");
    EXPECT_EQ(error_of("pods: on\n"), "a.yaml:1: pods: must be a map");
}

TEST(AgentConfig, ReadsEveryKey) {
    auto config = parse_config(R"(device: /dev/ivpci1
wmem: 512KiB
rmem: 2097152
workloads: {cgroups: ["/system.slice", "/user.slice"]}
publish:
  exclude_interfaces: [docker0]
  exclude_networks: [172.17.0.0/16]
eid: MY.EID-1
when_unsupported: idle
metrics: {listen: "[::1]:9999", status_page: on, bpf_stats: off}
control: {read: all, write: netadmin}
short_connections: {bytes: 32KiB, milliseconds: 20}
services: [10.96.0.0/12, "fd96::/108"]
trust: region
)",
                               "a.yaml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->device, "/dev/ivpci1");
    EXPECT_EQ(config->wmem, 512 << 10);
    EXPECT_EQ(config->rmem, 2 << 20);
    EXPECT_EQ(config->workloads, (std::vector<Workload>{{WorkloadKind::cgroup, "/system.slice"},
                                                        {WorkloadKind::cgroup, "/user.slice"}}));
    EXPECT_TRUE(config->exclude_interfaces.contains("docker0"));
    ASSERT_EQ(config->exclude_networks.size(), 1U);
    EXPECT_EQ(to_string(config->exclude_networks[0]), "172.17.0.0/16");
    EXPECT_NE(error_of("publish: {exclude_networks: [172.17.0.1/16]}\n").find("exclude_networks"),
              std::string::npos);
    EXPECT_EQ(config->eid, "MY.EID-1");
    EXPECT_EQ(config->when_unsupported, WhenUnsupported::idle);
    EXPECT_EQ(config->metrics_listen, "[::1]:9999");
    EXPECT_TRUE(config->status_page);
    EXPECT_FALSE(config->bpf_stats);
    EXPECT_TRUE(config->short_connections.step_back);
    EXPECT_EQ(config->short_connections.bytes, 32 << 10);
    EXPECT_EQ(config->short_connections.milliseconds, 20);
    EXPECT_EQ(config->services,
              (std::vector<Cidr>{*parse_cidr("10.96.0.0/12"), *parse_cidr("fd96::/108")}));
    EXPECT_EQ(config->trust, Trust::region);
    EXPECT_EQ(config->control_read, "all");
    EXPECT_EQ(config->control_write, "netadmin");
    EXPECT_EQ(parse_config("metrics: {listen: off}\n", "a.yaml")->metrics_listen, "");
}

TEST(AgentConfig, WhenAConnectionIsMoved) {
    EXPECT_EQ(parse_config("", "a")->offload.limits.after_ms, 0);
    EXPECT_EQ(parse_config("offload: {after_ms: off}\n", "a")->offload.limits.after_ms, 0);
    EXPECT_EQ(parse_config("offload: {after_ms: 5000}\n", "a")->offload.limits.after_ms, 5000);
    EXPECT_EQ(parse_config("", "a")->offload.limits.share, 25);
    EXPECT_EQ(parse_config("offload: {share: 100}\n", "a")->offload.limits.share, 100);
}

TEST(AgentConfig, WorkloadsByName) {
    EXPECT_EQ(parse_config("workloads: all\n", "a")->workloads, all_workloads());
    EXPECT_EQ(parse_config("workloads: containers\n", "a")->workloads, container_cgroups());
}

// Whatever it says: what it was for is served otherwise.
TEST(AgentConfig, SpliceIsGone) {
    for (const char* value : {" on", " off", "\n  port: 7255", " {join: kernel, after: 0}", ""}) {
        EXPECT_EQ(error_of(fmt::format("eid: auto\nsplice:{}\n", value).c_str()),
                  "a.yaml:2: splice: gone: the direct path serves what it was for, see "
                  "OPERATIONS.md, \"Which path\"");
    }
    EXPECT_EQ(error_of("wmen: 1MiB\nsplice: on\n").rfind("a.yaml:2: splice: gone", 0), 0U);
}

TEST(AgentConfig, NobodyIsTrustedUnlessItIsSaid) {
    EXPECT_EQ(parse_config("", "a")->trust, Trust::none);
    EXPECT_EQ(parse_config("trust: none\n", "a")->trust, Trust::none);
    EXPECT_EQ(parse_config("trust: region\n", "a")->trust, Trust::region);
    for (const char* word : {"on", "all", "Region", "regions"}) {
        EXPECT_EQ(error_of(fmt::format("eid: auto\ntrust: {}\n", word).c_str()),
                  fmt::format("a.yaml:2: trust: must be region or none, not '{}'", word));
    }
    EXPECT_EQ(error_of("trust: [region]\n"), "a.yaml:1: trust: must be a single value");
}

TEST(AgentConfig, ErrorsNameTheLine) {
    EXPECT_EQ(error_of("\nwmen: 1MiB\n"),
              "a.yaml:2: wmen: unknown key; known here: device, wmem, rmem, workloads, pods, cri, "
              "publish, eid, link_port, when_unsupported, metrics, control, short_connections, "
              "services, trust, path, offload");
    EXPECT_EQ(error_of("wmem: lots\n"),
              "a.yaml:1: wmem: 'lots' is not a size: write bytes, KiB or MiB, such as 1MiB");
    EXPECT_EQ(error_of("device: auto\nrmem: 1\n"),
              "a.yaml:2: rmem: 1 is out of range: 16KiB to 1024MiB");
    EXPECT_EQ(error_of("wmem: [1]\n"), "a.yaml:1: wmem: must be a single value");
    EXPECT_EQ(error_of("device: eth0\n"),
              "a.yaml:1: device: must be auto or a path such as /dev/ivpci0, not 'eth0'");
    EXPECT_EQ(error_of("workloads: some\n"),
              "a.yaml:1: workloads: must be all, containers or a map such as {cgroups: [/a]}");
    EXPECT_EQ(error_of("workloads:\n  cgroups: /\n"), "a.yaml:2: cgroups: must be a list");
    EXPECT_EQ(error_of("workloads: {cgroups: []}\n"),
              "a.yaml:1: workloads: cgroups: the list is empty");
    EXPECT_EQ(error_of("workloads:\n  cgroups: [system.slice]\n"),
              "a.yaml:2: cgroups: 'system.slice' is not a cgroup: write its path below "
              "/sys/fs/cgroup, such as /system.slice/*");
    EXPECT_NE(error_of("workloads:\n  cgroups: [/a/../..]\n").find("not a cgroup"),
              std::string::npos);
    EXPECT_EQ(error_of("eid: lower\n"),
              "a.yaml:1: eid: 'lower' is not an EID: A-Z, 0-9, '.' and '-' only, a letter or digit "
              "first");
    EXPECT_EQ(error_of("when_unsupported: panic\n"),
              "a.yaml:1: when_unsupported: must be exit or idle, not 'panic'");
    EXPECT_EQ(error_of("metrics: {listen: everywhere}\n"),
              "a.yaml:1: listen: 'everywhere': give an address and a port, as 127.0.0.1:9469 or "
              "[::1]:9469");
    EXPECT_EQ(error_of("services: 10.96.0.0/12\n"), "a.yaml:1: services: must be a list");
    EXPECT_EQ(error_of("services: [10.96.0.1/12]\n"),
              "a.yaml:1: services: '10.96.0.1/12' has bits beyond its prefix: write 10.96.0.0/12");
    EXPECT_EQ(error_of("offload:\n  after_ms: 0\n"),
              "a.yaml:2: after_ms: '0' is not a number from 1 to 86400000, nor off");
    EXPECT_EQ(error_of("offload:\n  ring: 1MiB\n  share: 0\n"),
              "a.yaml:3: share: '0' is not a number from 1 to 100");
    EXPECT_EQ(error_of("offload: {after_ms: soon}\n"),
              "a.yaml:1: after_ms: 'soon' is not a number from 1 to 86400000, nor off");
    EXPECT_EQ(error_of("short_connections: {milliseconds: 0}\n"),
              "a.yaml:1: milliseconds: '0' is not a number from 1 to 60000");
    EXPECT_EQ(error_of("short_connections: {seconds: 1}\n"),
              "a.yaml:1: seconds: unknown key; known here: bytes, milliseconds");
    EXPECT_EQ(error_of("short_connections: 3\n"),
              "a.yaml:1: short_connections: must be off or a map such as {bytes: 64KiB, "
              "milliseconds: 100}");
    EXPECT_FALSE(parse_config("short_connections: off", "a")->short_connections.step_back);
    EXPECT_EQ(error_of("metrics: {bpf_stats: 7}\n"),
              "a.yaml:1: bpf_stats: must be on or off, not '7'");
    EXPECT_EQ(error_of("metrics: {status_page: yes}\n"),
              "a.yaml:1: status_page: must be on or off, not 'yes'");
    EXPECT_EQ(error_of("metrics: {listen: off, status_page: on}\n"),
              "a.yaml:1: status_page: there is none while listen is off");
    EXPECT_EQ(error_of("control: {write: all}\n"),
              "a.yaml:1: write: must be root or a group, not all");
    EXPECT_EQ(error_of("control: {write: ''}\n"), "a.yaml:1: write: is empty");
    EXPECT_EQ(error_of("control: open\n"), "a.yaml:1: control: must be a map");
    EXPECT_EQ(error_of("- a\n"), "a.yaml:1: the configuration is a map of keys");
}

TEST(AgentConfig, Sizes) {
    EXPECT_EQ(*parse_size("65536"), 65536);
    EXPECT_EQ(*parse_size("16K"), 16384);
    EXPECT_EQ(*parse_size("1024MiB"), 1 << 30);
    for (const char* text : {"", "KiB", "16383", "1025MiB", "99999999999999999999", "1 MiB", "-1",
                             "1GiB", "17592186044416M", "1mib"}) {
        EXPECT_FALSE(parse_size(text)) << text;
    }
}

}  // namespace
}  // namespace smc_steer
