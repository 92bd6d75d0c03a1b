# SPDX-License-Identifier: Apache-2.0
"""The rules: who, with whom, which way, and what the agent says about them."""

import json
import shlex

from harness import paths, smcd, traffic
from harness.case import case, expect, expect_equal, wait_until

PORT = traffic.TRANSFER_PORT


def rule(guest, *words: str) -> None:
    guest.check(["smc-policy", *words])


def explain(guest, source: str, destination: str, *words: str) -> dict:
    return json.loads(guest.check(["smc-policy", "explain", source, f"{destination}:{PORT}",
                                   "--json", *words]))


@case("policy", "peers-and-directions", timeout=100)
def peers_and_directions(lab):
    """Peers and direction decide as they say, and explain says it before."""
    server, client = lab.guests
    traffic.transfer_server(server)
    rule(client, "deny", "--peers", f"{server.ip4}/32", "--direction", "in")
    smcd.expect_smcd(client, server)
    rule(client, "deny", "--peers", server.ip4, "--direction", "out")
    told = explain(client, client.ip4, server.ip4)
    expect_equal((told["verdict"], told["end"]), ("TCP", "client"), "what explain says")
    expect_equal(told["rule"]["peers"], [server.ip4], "the rule that explain names")
    smcd.expect_tcp(client, server)
    rule(client, "allow", "--peers", server.ip4, "--direction", "out")
    expect_equal(explain(client, client.ip4, server.ip4)["verdict"], "SMC-D", "verdict")
    smcd.expect_smcd(client, server)


@case("policy", "workloads", timeout=100)
def workloads(lab):
    """Workloads at either end: a uid, a control group that is made later, a command."""
    server, client = lab.guests
    traffic.transfer_server(server)
    rule(server, "deny", str(PORT), "--direction", "in", "--workload", "uid:4711")
    smcd.expect_smcd(client, server)
    rule(server, "deny", str(PORT), "--direction", "in", "--workload", "uid:0")
    smcd.expect_tcp(client, server)
    rule(server, "allow", str(PORT), "--direction", "in", "--workload", "uid:0")

    rule(client, "deny", str(PORT), "--workload", "cgroup:/tenants/*")
    send = " ".join(traffic.transfer_argv(server.ip4, 1 << 20))
    inside = ("mkdir -p /sys/fs/cgroup/tenants/a/b; sleep 2.5; "
              f"echo $$ >/sys/fs/cgroup/tenants/a/b/cgroup.procs; {send}")
    smcd.expect_connections(client, server, 0, lambda: client.check(inside))
    smcd.expect_smcd(client, server)

    # A command's sockets are not touched at all.
    rule(client, "deny", "--workload", "command:transfer")
    report = traffic.transfer(client, server.ip4, 1 << 20)
    expect_equal(report["protocol"], smcd.TCP, "SO_PROTOCOL of a denied command")


@case("policy", "nearest-control-group", guests=1, agent=False, timeout=100)
def nearest_control_group(lab):
    """The nearest control group decides whether sockets are steered, inotify tells of one that is
    made, and the time that took is counted. No rule and no peer is needed to see a steered socket.
    """
    guest = lab.guests[0]
    guest.configure_agent("workloads: all\npods: {default: off}\n")
    lab.start_agents()
    agent = lab.agents[0]

    def protocol(cgroup: str) -> int:
        return int(guest.check(f"echo $$ >/sys/fs/cgroup{cgroup}/cgroup.procs; " + shlex.join(
            ["python3", "-c", "import socket as s; "
             "print(s.socket().getsockopt(s.SOL_SOCKET, s.SO_PROTOCOL))"])))

    def covered() -> dict:
        return agent.status()["coverage"]

    guest.check("mkdir -p /sys/fs/cgroup/tenants/a")
    expect_equal(protocol("/tenants/a"), smcd.SMC, "SO_PROTOCOL below the root, which is steered")
    before = covered()
    guest.check("mkdir -p /sys/fs/cgroup/kubepods/pod1/c1")
    after = wait_until(covered, lambda now: now["late"] > before["late"], 10,
                       "the entry of /kubepods")
    expect_equal(protocol("/kubepods/pod1/c1"), smcd.TCP, "SO_PROTOCOL of a pod, default off")
    expect_equal(protocol("/tenants/a"), smcd.SMC, "SO_PROTOCOL beside the pods")
    expect_equal(after["unwatched"], 0, "control groups that inotify does not watch")
    print(f"policy: coverage of one control group: {after}")
    # A name that comes again is another control group.
    guest.check("cd /sys/fs/cgroup/kubepods && rmdir pod1/c1 pod1 && cd .. && rmdir kubepods && "
                "mkdir -p kubepods/pod2")
    wait_until(covered, lambda now: now["late"] > after["late"], 10, "the second entry")
    expect_equal(protocol("/kubepods/pod2"), smcd.TCP, "SO_PROTOCOL of a later pod")


PROBE = paths.PROGRAMS / "policy_probe"


def probe(guest, *words: str) -> dict:
    return json.loads(guest.check([str(paths.built(PROBE)), *words], 300))


@case("policy", "rules-in-the-kernel", agent=False, guests=1, regions=0, long_timeout=600)
def rules_in_the_kernel(lab):
    """The datapath's tables mean what the rules say, for random rules; a change of all rules is
    one step, all or nothing where descriptors are scarce; 10,000 rules load.
    """
    guest = lab.guests[0]
    agreed = probe(guest, "agree", "60" if not lab.long else "2000")
    expect(agreed["denied"] > agreed["asked"] // 5, f"hardly anything was denied: {agreed}")
    swapped = probe(guest, "swap", "5" if not lab.long else "60")
    expect(swapped["swaps"] > 4 and swapped["looks"] > 1000, f"too few of both: {swapped}")
    scarce = probe(guest, "scarce", "20")
    expect(scarce["failed"] > 4 and scarce["done"] > 4, f"not both of them: {scarce}")
    # Timed, so told, not judged: see docs/POLICY.md for figures.
    few, many = probe(guest, "cost", "10"), probe(guest, "cost", "10000")
    lab.progress(f"policy: {agreed} {swapped}\n{few}\n{many}")
