# SPDX-License-Identifier: Apache-2.0
"""Agents that become newer agents, or die on the way."""

import json

from harness import paths, smcd, traffic
from harness.case import case, expect, expect_equal, wait_until

KILL_WHEN = paths.REPO / "tests" / "vm" / "guest" / "kill_when"
PROBED = 9300
PINS = "/sys/fs/bpf/smc-steer"
NEWER = f"{PINS}/abi-99"


def install(guest, name: str) -> str:
    """Another file with the same program, which is what a package brings."""
    path = f"/usr/local/sbin/{name}/smc-agent"
    guest.check(f"install -D -m 755 {paths.built(paths.AGENT)} {path}")
    return path


def worst_gap(results: list) -> float:
    """The longest time without an accelerated connection, in which others were plain TCP."""
    worst, last, plain = 0.0, results[0][0], False
    for at, what in results:
        plain = plain or what != "smcd"
        if plain:
            worst = max(worst, at - last)
        if what == "smcd":
            last, plain = at, False
    return worst


def worst_wait(results: list) -> float:
    """The longest time between two connections."""
    return max(later[0] - earlier[0] for earlier, later in zip(results, results[1:]))


@case("policy", "upgrade", agent=False, timeout=120, long_timeout=300)
def upgrade(lab):
    """Both agents become other programs while ten transfers run and a connection is made every
    50 ms: none fails, and none waits more than a second for acceleration. Programs that cannot
    take over, and those older than what is pinned, are refused.
    """
    server, client = lab.guests
    agents = lab.agents
    # The prober's connections are as short as can be.
    for guest in lab.guests:
        guest.configure_agent("workloads: all\nshort_connections: off\n")
    lab.start_agents()
    traffic.transfer_server(server)
    traffic.prober_server(server, PROBED)
    new = [install(guest, "new") for guest in lab.guests]
    before = [agent.status() for agent in agents]

    # Slow ones, so that they last: ten times 5 MB/s.
    size = (256 if lab.long else 96) << 20
    transfers = [client.spawn(traffic.transfer_argv(server.ip4, size, flags=("--pause", "25")))
                 for _ in range(10)]
    # They connect before the prober counts connections.
    wait_until(lambda: agents[1].status()["connections"]["smcd"], lambda made: made >= 10, 20,
               "transfers of 10 that started")
    seconds = 30 if lab.long else 10
    prober = traffic.probe(client, server.ip4, PROBED, seconds)
    client.check(["smc-policy", "upgrade", new[1]])
    server.check(["smc-policy", "upgrade", new[0]])
    running = sum(process.poll() is None for process in transfers)
    results = traffic.probed(prober, seconds)
    gap = worst_gap(results)
    plain = sum(each[1] == "tcp" for each in results)
    print(f"{len(results)} connections, {plain} of them TCP, longest gap {gap:.3f} s, "
          f"{running} transfers were running")
    expect(gap < 1, f"{gap} s without an accelerated connection: {results}")
    # An accelerated one took 1.8 s on a busy machine.
    expect(worst_wait(results) < 4, f"{worst_wait(results)} s between two connections: {results}")
    expect(running > 0, "no transfer ran through the upgrades: make them longer")
    for process in transfers:
        process.wait(100)
        traffic.transfer_result(process.code, process.out + process.err, "a transfer")

    for agent, old, path in zip(agents, before, new):
        now = agent.status()
        expect_equal(now["process"]["upgrades"], 1, "upgrades")
        expect(now["handshake"] != old["handshake"], "the handshake is still the old one")
        expect_equal(now["device"]["generation"], old["device"]["generation"], "generation")
        expect(now["counters"]["established_smc"] >= 10, f"counters began anew: {now['counters']}")
        expect(now["connections"]["smcd"] >= 10, f"totals began anew: {now['connections']}")
        exe = agent.guest.check("readlink /proc/$(pidof smc-agent)/exe").strip()
        expect_equal(exe, path, "the program that runs")
    smcd.expect_smcd(client, server)

    # Refused: a program that ends, no program, one that is older than the maps.
    status = agents[1].status()
    for words in (["/bin/false"], ["/nonexistent"], []):
        if not words:
            client.check(f"mkdir {NEWER}")
        run = client.run(["smc-policy", "upgrade", *words])
        expect_equal((run.code, len(run.err.splitlines())), (1, 1), f"upgrade {words}: {run.err}")
    expect("ABI 99" in run.err and "knows 1" in run.err, f"the refusal said {run.err}")
    now = agents[1].status()
    expect_equal(now["process"]["start_time"], status["process"]["start_time"], "start time")
    smcd.expect_smcd(client, server)

    expect_equal(agents[1].stop(), 0, "exit code of an upgraded agent after SIGTERM")
    expect_equal(client.check(f"ls {PINS} 2>/dev/null; sysctl -n net.smc.wmem").split(),
                 ["65536"], "pins and wmem after the end")
    client.check(f"mkdir -p {NEWER}")
    run = client.run(["smc-agent"], 20)
    expect_equal(run.code, 1, "exit code of an agent older than the maps")
    expect("ABI 99" in run.err and "knows 1" in run.err, f"it said {run.err}")


EVENTS = ("asked", "becomes", "sysctl", "pins", "0.4")
MORE_EVENTS = ("state", "serves", *(f"{0.1 * i:.1f}" for i in range(1, 30)))


@case("policy", "upgrade-killed", timeout=180, long_timeout=1200)
def upgrade_killed(lab):
    """kill -9 at every step of an upgrade: connections still work, SMC-D or TCP, and the next
    agent is as good as new and leaves the machine as the first one found it.
    """
    server, client = lab.guests
    agent = lab.agents[1]
    traffic.transfer_server(server)
    binary = install(client, "new")
    for event in EVENTS + (MORE_EVENTS if lab.long else ()):
        held = traffic.hold(client, server.ip4)
        seen = client.run([str(KILL_WHEN), event, binary], 60)
        expect_equal(seen.code, 0, f"kill at '{event}': {seen.out}{seen.err}")
        print(f"killed at {seen.out.strip()}")
        traffic.transfer(client, server.ip4, 1 << 20)
        expect(held.poll() is None, f"a connection died when the agent did, at '{event}'")
        held.kill()
        agent.start(addresses=2)
        lab.agents[0].wait_state("active", 2)
        smcd.expect_smcd(client, server, size=1 << 20)
    expect_equal(agent.stop(), 0, "exit code after SIGTERM")
    left = client.check("sysctl -n net.smc.hs_ctrl net.smc.wmem net.smc.rmem; "
                        f"ls {PINS} 2>/dev/null; :").split()
    expect_equal(left, ["65536", "65536"], "what is left of all the killed agents")


@case("policy", "cleanup")
def cleanup(lab):
    """What a killed agent leaves, cleanup takes back: settings, registration, EID, pins."""
    server, client = lab.guests
    agent = lab.agents[1]
    run = client.run(["smc-policy", "cleanup"])
    expect_equal(run.code, 1, "exit code of cleanup beside an agent")
    expect("running" in run.err, f"cleanup said {run.err}")
    agent.kill()
    client.check("ip netns add blue")
    did = client.check(["smc-policy", "cleanup"])
    for word in ("net.smc", "handshake", "EID", PINS):
        expect(word in did, f"cleanup did not mention {word}: {did}")
    left = client.check(f"sysctl -n net.smc.hs_ctrl net.smc.wmem; ls {PINS} /run/smc-steer; "
                        "bpftool map list | grep -c steer; :").split()
    expect_equal([word for word in left if word not in ("/run/smc-steer:",)], ["65536", "0"],
                 "left behind")
    again = client.check(["smc-policy", "cleanup"])
    expect("nothing" in again, f"a second cleanup said {again}")
    agent.start(addresses=2)
    traffic.transfer_server(server)
    lab.agents[0].wait_state("active", 2)
    smcd.expect_smcd(client, server)


@case("policy", "doctor-and-bugtool")
def doctor_and_bugtool(lab):
    """doctor finds nothing bad on a good machine, and what was broken on a bad one; bugtool
    packs what there is to know.
    """
    client = lab.guests[1]
    good = client.run(["smc-policy", "doctor"])
    expect_equal(good.code, 0, f"exit code of doctor on a good machine:\n{good.out}")
    lab.agents[1].kill()
    client.check("modprobe -r ivpci && umount /sys/fs/bpf")
    run = client.run(["smc-policy", "doctor", "--json"])
    expect_equal(run.code, 1, "exit code of doctor on a bad machine")
    findings = json.loads(run.out)["findings"]
    bad = {each["what"]: each["verdict"] for each in findings if each["verdict"] != "ok"}
    expect_equal(bad, {"module ivpci": "BAD", "device": "BAD", "bpffs": "WARN",
                       "smc-agent": "BAD", **({"shared memory": "WARN"} if client.trust else {})},
                 "findings")
    for each in findings:
        expect((each["verdict"] == "ok") == (each["remedy"] == ""), f"no remedy: {each}")
    client.check(["smc-policy", "bugtool", "/run/report.tar.gz"])
    names = client.check("tar -tzf /run/report.tar.gz; stat -c %a /run/report.tar.gz").split()
    for name in ("doctor.txt", "status.json", "dmesg.txt", "bpf-programs.txt"):
        expect(f"smc-steer/{name}" in names, f"{name} is not in {names}")
    expect_equal(names[-1], "600", "mode of the report")
    again = client.run(["smc-policy", "bugtool", "/run/report.tar.gz"])
    expect_equal(again.code, 1, "exit code of bugtool over a file that exists")


COVERED = """
import json, socket, subprocess, sys, time
def status():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("/run/smc-steer/agent.sock")
        s.sendall(b'{"cmd":"status"}\\n')
        return json.loads(s.makefile().readline())
def wait(count):
    began = time.monotonic()
    while status()["netns"] != count:
        if time.monotonic() - began > 120:
            sys.exit(f"{status()['netns']} namespaces are covered, not {count}")
        time.sleep(0.02)
    return time.monotonic() - began
def batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\\n".join(lines) + "\\n", text=True, check=True)
many = int(sys.argv[1])
first = status()
count = first["netns"]
single = []
for i in range(5):
    batch([f"netns add one{i}"])
    single.append(wait(count + 1 + i))
batch([f"netns del one{i}" for i in range(5)])
wait(count)
for turn in range(2):
    batch([f"netns add many{i}" for i in range(many)])
    took = wait(count + many)
    mid = status()["process"]
    batch([f"netns del many{i}" for i in range(many)])
    wait(count)
    if turn == 0:
        settled = status()["process"]
last = status()["process"]
print(json.dumps({"single": single, "many": took, "first": first["process"], "mid": mid,
                  "settled": settled, "last": last}))
"""


@case("policy", "namespaces-come-and-go", timeout=120, long_timeout=900)
def namespaces_come_and_go(lab):
    """Network namespaces that appear are covered within a second, and those that vanish leave
    nothing in the agent (1,000 of them in the long form).
    """
    client = lab.guests[1]
    many = 1000 if lab.long else 40
    seen = json.loads(client.check(["python3", "-c", COVERED, str(many)], 800))
    print(seen)
    single = sorted(seen["single"])
    expect(single[len(single) // 2] < 1, f"a namespace was covered after {single} s")
    expect(seen["mid"]["descriptors"] > seen["first"]["descriptors"] + many,
           f"namespaces took no descriptors: {seen}")
    expect_equal(seen["last"]["descriptors"], seen["first"]["descriptors"], "descriptors left")
    grown = seen["last"]["resident_bytes"] - seen["settled"]["resident_bytes"]
    expect(grown < 1 << 20, f"memory grew by {grown} bytes in the second round")
    smcd_server = lab.guests[0]
    traffic.transfer_server(smcd_server)
    smcd.expect_smcd(client, smcd_server)
