# SPDX-License-Identifier: Apache-2.0
"""What operators see of an agent, and who may see it."""

import json
import re
import time

from harness import paths, smcd, traffic
from harness.agent import LOG
from harness.case import case, expect, expect_equal, wait_until

METRICS = "http://127.0.0.1:9470"
FETCH = ("import sys, urllib.request, urllib.error\n"
         "try: a = urllib.request.urlopen(sys.argv[1], timeout=10)\n"
         "except urllib.error.HTTPError as e: a = e\n"
         "print(a.status); print(a.read().decode(), end='')\n")


def fetch(guest, path: str) -> tuple[int, str]:
    out = guest.check(["python3", "-c", FETCH, METRICS + path])
    code, text = out.split("\n", 1)
    return int(code), text


def metrics(guest) -> dict[str, float]:
    """Samples of /metrics by name with labels."""
    code, text = fetch(guest, "/metrics")
    expect_equal(code, 200, "HTTP status of /metrics")
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def only_flow(agent, port: int) -> dict:
    ends = (f":{port}",)
    flows = [flow for flow in agent.ask("flows")["flows"]
             if flow["peer"].endswith(ends) or flow["local"].endswith(ends)]
    expect_equal(len(flows), 1, f"flows with port {port} ({flows})")
    return flows[0]


@case("policy", "status-and-flows")
def status_and_flows(lab):
    """status, flows and reasons tell what is so: a connection's ends, bytes, age and workload,
    and why another one became TCP.
    """
    server, client = lab.guests
    agents = lab.agents
    traffic.transfer_server(server)
    brief = client.run(["smc-policy", "status", "--brief"])
    expect_equal((brief.code, len(brief.out.splitlines())), (0, 1), "status --brief")
    expect(brief.out.startswith("active: 1 peers, 0 accelerated"), f"--brief said {brief.out}")

    size = 3 << 20
    smcd.expect_smcd(client, server, size=size)
    client.check("mkdir -p /sys/fs/cgroup/shop.slice")
    held = client.spawn("echo $$ >/sys/fs/cgroup/shop.slice/cgroup.procs; exec "
                        + " ".join([str(traffic.TRANSFER), "hold", server.ip4,
                                    str(traffic.TRANSFER_PORT), "1"]))
    held.wait_output("connected", 20)
    time.sleep(0.5)
    flow = only_flow(agents[1], traffic.TRANSFER_PORT)
    expect_equal(flow["mode"], "SMC-D", "mode")
    expect_equal(flow["peer"], f"{server.ip4}:{traffic.TRANSFER_PORT}", "peer")
    expect_equal(flow["workload"], "/shop.slice", "workload")
    expect(flow["age_seconds"] is not None and 0.4 < flow["age_seconds"] < 30,
           f"age {flow['age_seconds']}")
    held.kill()
    held.wait(10)

    # Bytes while they move: both ends agree on what has passed.
    sender = client.spawn(traffic.transfer_argv(server.ip4, 1 << 30))
    time.sleep(2)
    first = only_flow(agents[1], traffic.TRANSFER_PORT)
    time.sleep(0.5)
    second = only_flow(agents[1], traffic.TRANSFER_PORT)
    expect(0 < first["bytes_sent"] < second["bytes_sent"] < 1 << 31,
           f"bytes sent: {first['bytes_sent']}, then {second['bytes_sent']}")
    sender.kill()
    sender.wait(10)

    watched = client.run("timeout -s INT 3 smc-policy flows --watch 0.5 --json | head -n 3")
    looks = [json.loads(line) for line in watched.out.splitlines()]
    expect_equal(len(looks), 3, "lines of flows --watch --json")

    # A steered program meets a listener that was there before the agents: not agreed.
    server.check(["smc-policy", "deny", "9100"])
    traffic.transfer_server(server, port=9100)
    smcd.expect_tcp(client, server, port=9100)
    reasons = [each for each in agents[1].ask("reasons")["reasons"] if each["side"] == "client"]
    expect_equal([each["name"] for each in reasons], ["PEERNOSMC"], "reasons of the client")
    expect_equal(reasons[0]["text"], "not agreed in the TCP handshake", "the reason spelled out")
    denied = agents[0].status()["counters"]["synack_denied"]
    expect_equal(denied, 1, "SYN-ACKs denied by the server")
    text = client.check(["smc-policy", "status"])
    expect(len(text.splitlines()) <= 24, f"status is longer than a screen:\n{text}")
    top = client.run("timeout -s INT 3 smc-policy top --period 0.5 | head -n 8")
    expect("over shared memory" in top.out, f"top said {top.out!r}")


@case("policy", "monitor")
def monitor(lab):
    """monitor shows each decision with its rule, and BPF reports to nobody when it ends."""
    server, client = lab.guests
    traffic.transfer_server(server)
    traffic.transfer_server(server, port=9101)
    client.check(["smc-policy", "deny", "9101"])
    listener = client.spawn(["smc-policy", "monitor", "--json"])
    time.sleep(1)
    smcd.expect_smcd(client, server, size=1 << 16)
    smcd.expect_tcp(client, server, size=1 << 16, port=9101)
    deadline = time.monotonic() + 10
    while listener.out.count(b"\n") < 2:
        expect(time.monotonic() < deadline and listener.poll() is None,
               f"monitor printed {listener.out!r} {listener.err!r}")
        time.sleep(0.1)
    lines = [json.loads(line) for line in listener.out.splitlines()]
    expect_equal([(each["port"], each["side"], each["decision"]) for each in lines],
                 [(traffic.TRANSFER_PORT, "client", "offered"), (9101, "client", "denied")],
                 "decisions")
    expect("default" in lines[0]["rule"] and "9101" in lines[1]["rule"], f"rules: {lines}")
    listener.kill()
    listener.wait(10)
    listening = "bpftool -j map dump pinned /sys/fs/bpf/smc-steer/abi-1/monitor"
    wait_until(lambda: json.loads(client.check(listening))[0]["value"],
               lambda value: value[:1] in (["0x00"], [0]), 10, "who listens")


@case("policy", "no-common-eid", agent=False)
def no_common_eid(lab):
    """Guests with different EIDs: TCP, without an attempt at SMC by any program; peers says what
    became of the agents' own attempt, reasons what to do about it.
    """
    server, client = lab.guests
    client.configure_agent("workloads: all\neid: ANOTHER.ONE\n")
    for agent in lab.agents:
        agent.start()
    traffic.transfer_server(server)
    wait_until(lambda: lab.agents[1].ask("peers")["peers"][0],
               lambda peer: "fell back" in peer["link_problem"], 20, "the peer", 0.3)
    smcd.expect_tcp(client, server)
    found = [{reason["name"] for reason in agent.ask("reasons")["reasons"]} - {"PEERNOSMC"}
             for agent in lab.agents]
    # Who is called finds no device that shares an EID with the caller, which is told no more. Either
    # agent may call the other, and on a busy machine both do.
    expect_equal(set.union(*found), {"NOSMCDDEV", "PEERDECL"}, f"reasons of the two ({found})")
    expect(all(found), f"reasons of the two: {found}")
    called = lab.guests[0 if "NOSMCDDEV" in found[0] else 1]
    expect("EID" in called.check(["smc-policy", "reasons"]), "reasons does not name the EID")


@case("policy", "metrics-and-health")
def metrics_and_health(lab):
    """/metrics counts what happens, BPF runs have a price, /healthz and /readyz answer."""
    server, client = lab.guests
    traffic.transfer_server(server)
    before = metrics(client)
    smcd.expect_smcd(client, server, size=1 << 20)
    after = metrics(client)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)
    expect_equal(grown("smc_steer_smcd_connections_total"), 1, "SMC-D connections in /metrics")
    expect_equal(grown('smc_steer_syn_total{decision="offered"}'), 1, "SYNs offered")
    expect(grown("smc_steer_ivpci_bytes_sent_total") >= 1 << 20, "bytes in /metrics")
    expect_equal(after["smc_steer_active"], 1, "smc_steer_active")
    for program in ("syn_option", "steer", "flows"):
        label = f'{{program="{program}"}}'
        runs = grown("smc_steer_bpf_runs_total" + label)
        cost = grown("smc_steer_bpf_run_nanoseconds_total" + label)
        expect(runs >= 1, f"{program} ran {runs} times")
        expect(0 < cost / runs < 5e6, f"a run of {program} took {cost / runs} ns")
        print(f"{program}: {runs:g} runs, {cost / runs:.0f} ns each")
    expect_equal(fetch(client, "/healthz"), (200, "ok\n"), "/healthz")
    expect_equal(fetch(client, "/readyz"), (200, "active\n"), "/readyz")
    expect_equal(fetch(client, "/else")[0], 404, "HTTP status of a wrong path")

    # Without the device the agent is alive and not ready.
    client.check("cd /sys/bus/pci/drivers/ivpci && basename 0000:* >unbind")
    ready = wait_until(lambda: fetch(client, "/readyz"), lambda got: got[0] == 503, 10, "/readyz")
    expect("idle: " in ready[1], f"/readyz said {ready}")
    expect_equal(fetch(client, "/healthz")[0], 200, "/healthz of an idle agent")
    brief = client.run(["smc-policy", "status", "--brief"])
    expect_equal(brief.code, 3, "exit code of status --brief when idle")


@case("policy", "who-may-ask", agent=False)
def who_may_ask(lab):
    """The control socket knows its callers: readers read, writers change, others nothing."""
    guest = lab.guests[0]
    agent = lab.agents[0]
    guest.check("groupadd -r steer-w && groupadd -r steer-r && useradd -M -G steer-w wanda && "
                "useradd -M -G steer-r rita && useradd -M oscar")
    guest.configure_agent(
              "workloads: all\ncontrol: {read: steer-r, write: steer-w}\n"
              "metrics: {listen: off}\n")
    # The build directory may be where only root can go.
    guest.check("install -m 755 $(command -v smc-policy) /usr/local/bin")
    agent.launch_ready()
    agent.wait_state("active")

    def as_user(user: str, words: list[str]):
        return guest.run(["setpriv", "--reuid", user, "--regid", user, "--init-groups",
                          "/usr/local/bin/smc-policy", *words])
    for user, words, code in (("rita", ["status"], 0), ("rita", ["deny", "7"], 1),
                              ("wanda", ["status"], 0), ("wanda", ["deny", "7"], 0),
                              ("wanda", ["upgrade"], 1),
                              ("oscar", ["status"], 1), ("oscar", ["deny", "8"], 1)):
        run = as_user(user, words)
        expect_equal(run.code, code, f"{user}: smc-policy {words} ({run.err})")
        if code:
            expect_equal(len(run.err.splitlines()), 1, f"lines for {user}: {run.err}")
    rules = [rule["ports"] for rule in agent.ask("rules")["rules"]]
    expect(["7"] in rules and ["8"] not in rules, f"rules: {rules}")
    # What anybody may change does not become root's agent.
    guest.check(f"install -m 777 {paths.built(paths.AGENT)} /usr/local/bin/anybodys")
    loose = guest.run(["smc-policy", "upgrade", "/usr/local/bin/anybodys"])
    expect_equal(loose.code, 1, f"upgrade to what others may write ({loose.out}{loose.err})")
    expect("can be changed by others" in loose.err, f"upgrade said {loose.err}")
    second = guest.run(["smc-agent"], 20)
    expect_equal(second.code, 1, "exit code of a second agent")
    expect("another smc-agent" in second.err, f"the second agent said {second.err}")
    agent.wait_state("active")


@case("policy", "named-capabilities", agent=False)
def named_capabilities(lab):
    """With the capabilities of the unit file and no others, everything still works: active, a
    namespace of another user, accelerated connections, rules, upgrade, a clean end.
    """
    server, client = lab.guests
    unit = (paths.REPO / "deploy" / "systemd" / "smc-agent.service").read_text()
    named = re.search(r"^CapabilityBoundingSet=(.+)$", unit, re.M)[1].split()
    kept = ",".join(["-all", *("+" + name.removeprefix("CAP_").lower() for name in named)])
    server_agent, agent = lab.agents
    server_agent.launch_ready()
    # The unit loads modules before it; the agent may not.
    client.check("modprobe -a smc ivpci; sysctl -n net.smc.wmem; useradd -M nora")
    client.spawn(["setpriv", "--reuid", "nora", "--regid", "nora", "--init-groups",
                  "unshare", "--user", "--net", "sleep", "600"])
    agent.process = client.spawn(f"exec setpriv --bounding-set {kept} --no-new-privs "
                                 f"{paths.built(paths.AGENT)} >>{LOG} 2>&1")
    agent.wait_state("active", 2)
    server_agent.wait_state("active", 2)
    effective = int(client.check("grep CapEff /proc/$(pidof smc-agent)/status").split()[1], 16)
    expect_equal(effective.bit_count(), len(named), "capabilities of the agent")
    expect_equal(agent.status()["netns"], 2, "namespaces covered, another user's among them")
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server, size=1 << 20)
    client.check(["smc-policy", "deny", "7777"])
    client.check(["smc-policy", "upgrade"])
    smcd.expect_smcd(client, server, size=1 << 20)
    expect(metrics(client)["smc_steer_upgrades_total"] == 1, "upgrades in /metrics")
    log = agent.log(100)
    expect("warn" not in log and "error" not in log, f"the agent complained:\n{log}")
    expect_equal(agent.stop(), 0, "exit code after SIGTERM")
    expect_equal(client.check("sysctl -n net.smc.wmem").strip(), "65536", "wmem after the end")
