# SPDX-License-Identifier: Apache-2.0
"""Agents that move programs' TCP connections onto shared memory by themselves (`path: direct`)."""

import json
import time

from harness import driver, offload, servers, services, smcd, traffic
from harness.case import case, expect, expect_equal, wait_until
from harness.lab import ADDRESSES

# Sends 300 commands to redis one after the other, says so, and keeps the connection.
PINGS = """
    exec {redis}<>/dev/tcp/%s/6379
    ping() { printf 'PING\\r\\n' >&$redis; read -r answer <&$redis; [ "$answer" = $'+PONG\\r' ]; }
    for ((i = 0; i < 1500; i++)); do ping || exit 1; done
    echo said
    read -r; ping && echo answered
"""


@case("direct", "offload-rules", agent=False, timeout=150)
def offload_rules(lab):
    """A stream moves by itself; `smc-policy deny` takes it back (how soon is in the log), `remove` lets it move again, at either
    end. A program's rule and a workload's are no different, nor is one that leaves it to the other path.
    """
    server, client = lab.guests
    serving, asking = offload.start(lab)
    running = offload.stream(client, server)
    for agent in (serving, asking):
        offload.wait_moved(agent, traffic.IPERF_PORT)
    port = str(traffic.IPERF_PORT)
    denied = f"deny {port}"
    for agent, every in ((serving, (denied, "deny --workload command:iperf3", "deny --workload uid:0", f"allow {port} --via smc")),
                         (asking, (denied,))):
        guest = agent.guest
        for words in every:
            guest.check(f"smc-policy {words}")
            began = time.monotonic()
            for each in (serving, asking):
                offload.wait_dmbs(each)
            lab.progress(f"{guest.name}, {words}: over TCP after {time.monotonic() - began:.2f} s")
            flow = max(offload.flows(agent, traffic.IPERF_PORT), key=lambda flow: flow["bytes_sent"] + flow["bytes_received"])
            expect_equal(flow["mode"], "TCP", "mode of the stream")
            expect(("via smc" if "via" in words else "deny") in flow["why_not"], f"why it is not moved: {flow['why_not']!r}")
            rules = agent.ask("rules")["rules"]
            guest.check(f"smc-policy remove {next(rule['number'] for rule in rules if rule['removable'])}")
            for each in (serving, asking):
                offload.wait_moved(each, traffic.IPERF_PORT)
    offload.expect_streaming(running)
    for agent in (serving, asking):
        offload.wait_dmbs(agent)


@case("direct", "offload-via", agent=False, timeout=150)
def offload_via(lab):
    """Guests with both paths. `via: direct` for a workload, at both ends, leaves its sockets TCP's, and its connections move; for a port
    it keeps SMC off a connection, whose socket is SMC's already. `via: smc` takes a moved connection back.
    """
    server, client = lab.guests
    agents = offload.start(lab, path="smc")
    for agent in agents:
        expect_equal(agent.status()["path"], "smc, direct", "paths")
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server)

    def remove_all(agent) -> None:
        for rule in sorted((rule["number"] for rule in agent.ask("rules")["rules"] if rule["removable"]), reverse=True):
            agent.guest.check(f"smc-policy remove {rule}")

    def explained(port: int, words: str = "") -> str:
        return client.check(f"smc-policy explain {client.ip4} {server.ip4}:{port} {words}")
    for agent in agents:
        agent.guest.check("smc-policy allow --workload uid:0 --via direct")
    said = explained(traffic.IPERF_PORT, "--workload uid:0")
    expect(said.startswith("direct: "), f"explain of a workload that takes the direct path: {said}")
    running = offload.stream(client, server)
    for agent in agents:
        offload.wait_moved(agent, traffic.IPERF_PORT)
    for agent in agents:
        remove_all(agent)
    client.check(f"smc-policy allow {traffic.TRANSFER_PORT} --via direct")
    said = explained(traffic.TRANSFER_PORT)
    expect(said.startswith("TCP: socket: "), f"explain of a port that takes the direct path: {said}")
    smcd.expect_connections(client, server, 0, lambda: traffic.transfer(client, server.ip4))
    remove_all(agents[1])
    smcd.expect_smcd(client, server)
    for agent in agents:
        offload.wait_moved(agent, traffic.IPERF_PORT)
    server.check(f"smc-policy allow {traffic.IPERF_PORT} --via smc")
    for agent in agents:
        offload.wait_moved(agent, traffic.IPERF_PORT, 0)
    offload.expect_streaming(running)


@case("direct", "offload-agents-die", agent=False, timeout=180)
def offload_agents_die(lab):
    """kill -9, a clean end with on_exit: keep and with restore, an upgrade, of either agent: the stream and bytes that are
    checked go on, and the next agent takes over what is moved.
    """
    server, client = lab.guests
    agents = offload.start(lab)
    traffic.transfer_server(server)
    running = offload.stream(client, server)
    checked = client.spawn(traffic.transfer_argv(server.ip4, 512 << 20))
    for agent in agents:
        offload.wait_moved(agent, traffic.IPERF_PORT)

    def taken_over(agent) -> None:
        agent.wait_state("active")
        offload.wait_talking(agent)
        offload.wait_moved(agent, traffic.IPERF_PORT)

    dying, upgraded = agents
    dying.kill()
    expect(driver.stats(client)["dmbs"] >= 1, "the killed agent's connections went back to TCP")
    dying.launch()
    taken_over(dying)
    client.check("smc-policy upgrade")
    wait_until(lambda: upgraded.status()["process"]["upgrades"], lambda count: count == 1, 20, "an upgrade")
    taken_over(upgraded)
    lab.progress(json.dumps(offload.totals(upgraded)))
    offload.configure(client, on_exit="restore")
    expect_equal(upgraded.stop(), 0, "exit code of the agent that leaves what is moved")
    upgraded.launch()
    taken_over(upgraded)
    expect_equal(upgraded.stop(), 0, "exit code of the agent that brings it back")
    offload.wait_dmbs(dying, seconds=5)
    upgraded.launch()
    taken_over(upgraded)
    offload.expect_streaming(running)
    traffic.transfer_result(checked.wait(60), checked.out + checked.err, "transfer")


SETTINGS = "sysctl -n net.smc.hs_ctrl net.smc.wmem net.smc.rmem"


@case("direct", "offload-paths", agent=False, timeout=120)
def offload_paths(lab):
    """`path: auto` takes SMC while tcp_ivpci is not loaded. An agent that runs becomes direct when it is loaded, and SMC's again when it
    is unloaded, and puts back what the SMC path had set; so does an upgrade. `path: off` brings a moved connection back to TCP, which goes on.
    """
    server, client = lab.guests
    for agent in lab.agents:
        offload.configure(agent.guest, path="auto")
        agent.start()
    for agent in lab.agents:
        agent.wait_state("active", ADDRESSES)
        expect_equal(agent.status()["path"], "smc", "path without tcp_ivpci")
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server)

    def wait_path(agent, wanted: str) -> None:
        wait_until(lambda: agent.ask("status").get("path"), lambda path: path == wanted, 20, f"the path, {wanted} wanted")

    held = traffic.hold(client, server.ip4)
    follows, upgraded = lab.agents
    follows.guest.check("modprobe tcp_ivpci")
    wait_path(follows, "direct")
    # The agent has its file open for a moment four times a second.
    follows.guest.check("for i in {1..20}; do rmmod tcp_ivpci && exit; sleep 0.05; done; exit 1")
    wait_path(follows, "smc")
    follows.guest.check("modprobe tcp_ivpci")
    wait_path(follows, "direct")
    upgraded.guest.check("modprobe tcp_ivpci && smc-policy upgrade")
    wait_path(upgraded, "direct")
    expect(held.poll() is None, "a connection over SMC-D ended with the SMC path")
    held.kill()
    for agent in lab.agents:
        expect_equal(agent.guest.check(SETTINGS).split(), ["65536", "65536"], "SMC's settings after the SMC path")
    for agent in lab.agents:
        offload.wait_talking(agent)
    running = offload.stream(client, server)
    for agent in lab.agents:
        offload.wait_moved(agent, traffic.IPERF_PORT)
    leaving = lab.agents[1]
    expect_equal(leaving.stop(), 0, "exit code of the agent")
    offload.configure(client, path="off")
    leaving.launch()
    leaving.wait_state("idle")
    # SMC keeps buffers of closed connections: DMBs tell nothing here
    attached = "ss -Htin | grep -c tcp-ulp-tcp_ivpci || true"
    for guest in lab.guests:
        wait_until(lambda guest=guest: guest.check(attached).strip(), lambda count: count == "0", 10,
                   f"{guest.name}: sockets that are attached to")
    expect("path: off" in leaving.status()["reason"], f"why it is idle: {leaving.status()['reason']}")
    offload.expect_streaming(running)
    leaving.stop()
    told = client.check("smc-policy cleanup")
    expect("0 connections" not in told and "back on TCP" not in told, f"cleanup of nothing said {told!r}")


@case("direct", "offload-idle", agent=False, timeout=90)
def offload_idle(lab):
    """A connection that is silent gives its rings back and goes on over TCP; a program that was connected before the
    agents were there is served as any other; one that says little is never touched.
    """
    server, client = lab.guests
    servers.redis(server)
    client.spawn(f"exec redis-cli -h {server.ip4} monitor >/run/told")
    wait_until(lambda: client.check("cat /run/told"), lambda text: "OK" in text, 20, "the early client")
    agents = offload.start(lab, idle_ms=2000)
    talking = client.spawn(["bash", "-c", PINGS % server.ip4], stdin=True)
    for agent in agents:
        # redis tells the early one of each command: the connection of before the agents moves, too
        offload.wait_moved(agent, servers.REDIS_PORT, 2)
    talking.wait_output("said", 30)
    for agent in agents:
        offload.wait_dmbs(agent)
        offload.wait_moved(agent, servers.REDIS_PORT, 0)
    expect(sum(offload.totals(agent)["back"]["idle"] for agent in agents) >= 2, "given back for being idle")
    talking.write(b"\n")
    talking.wait_output("answered", 10)
    moved = [offload.totals(agent)["moved"] for agent in agents]
    quiet = client.spawn(["redis-cli", "-h", server.ip4, "-i", "0.2", "-r", "20", "ping"])
    expect_equal(quiet.wait(20), 0, "redis-cli's exit code")
    expect_equal([offload.totals(agent)["moved"] for agent in agents], moved, "connections that were moved")


@case("direct", "offload-lasting", agent=False, long_only=True, timeout=90)
def offload_lasting(lab):
    """With `after_ms` at one end a connection that says little all the time is moved once it is old enough, and stays so; the
    other end need not wish it. One that is silent is not, however old. That nothing of it is moved without: offload-idle.
    """
    server, client = lab.guests
    servers.redis(server)
    silent = client.spawn(["bash", "-c", PINGS % server.ip4], stdin=True)
    silent.wait_output("said", 30)
    for guest, more in ((server, {}), (client, {"after_ms": 2000})):
        offload.load(guest)
        offload.configure(guest, idle_ms=3000, **more)
    for agent in lab.agents:
        agent.launch()
    for agent in lab.agents:
        agent.wait_state("active", ADDRESSES)
        offload.wait_talking(agent)
    talking = client.spawn(["redis-cli", "-h", server.ip4, "-i", "0.5", "-r", "1000", "ping"])
    for _ in range(2):
        for agent in lab.agents:
            offload.wait_moved(agent, servers.REDIS_PORT, 1, seconds=20)
        time.sleep(4)
    said = client.check(f"smc-policy explain {client.ip4} {server.ip4}:{servers.REDIS_PORT}")
    expect("after 2000 ms" in said, f"what explain says of it: {said}")
    expect(talking.poll() is None, f"redis-cli ended: {talking.err}")
    silent.write(b"\n")
    silent.wait_output("answered", 10)


HOG, OTHER = traffic.IPERF_PORT, traffic.IPERF_PORT + 1


def in_group(guest, group: int, *words: str):
    """iperf3 in a control group of its own, named for its port."""
    path = f"/sys/fs/cgroup/share-{group}"
    return guest.spawn(f"mkdir -p {path} && echo $$ >{path}/cgroup.procs && "
                       f"exec iperf3 --port {group} --forceflush {' '.join(words)}")


@case("direct", "offload-share", agent=False, long_only=True, timeout=180, size="32M", slots=4)
def offload_share(lab):
    """A program with more hot connections than the region has rings for. With `share: 100` another program's colder connection
    stays TCP for as long as it is looked at; with the default it gets rings within seconds, keeps them, and the first has the rest.
    """
    server, client = lab.guests
    running = []
    for group in (HOG, OTHER):
        in_group(server, group, "--server").wait_output("Server listening", 20)
    agents = offload.start(lab, share=100)
    running.append(in_group(client, HOG, "--client", server.ip4, "--time 600 --length 64K --bitrate 8M --parallel 40"))

    def full() -> list[int]:
        return [driver.stats(agent.guest)["refused_full"] + driver.stats(agent.guest)["refused_broker"] for agent in agents]
    wait_until(full, any, 40, "a region that is full of one program's rings")
    running.append(in_group(client, OTHER, "--client", server.ip4, "--time 600 --length 64K --bitrate 4M"))
    running[1].wait_output("connected to", 20)
    time.sleep(5)
    for agent in agents:
        offload.wait_moved(agent, OTHER, 0)
    lab.progress("share: 100: " + json.dumps([offload.totals(agent) for agent in agents]))
    for agent in agents:
        expect_equal(agent.stop(), 0, "exit code of the agent")
        offload.configure(agent.guest)
        agent.launch()
    for agent in agents:
        agent.wait_state("active", ADDRESSES)
        offload.wait_talking(agent)
    for _ in range(2):
        for agent in agents:
            offload.wait_moved(agent, OTHER, 1, seconds=30)
        time.sleep(3)
    totals = [offload.totals(agent) for agent in agents]
    lab.progress("share: 25: " + json.dumps(totals))
    expect(sum(each["back"]["share"] for each in totals) >= 1, f"nobody gave rings for another control group's share: {totals}")
    for agent in agents:
        rings = [flow["ring_bytes"] for flow in offload.flows(agent, HOG) if flow["mode"] == "direct"]
        expect(len(rings) >= 2, f"{agent.guest.name}: what the first program has left: {rings}")
    for each in running:
        expect(each.poll() is None, f"iperf3 ended: {each.out[-500:]}{each.err}")


def busy(guest) -> float:
    """Seconds of CPU that the agent has had."""
    words = guest.check("cat /proc/$(pidof smc-agent)/stat").rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / 100


@case("direct", "offload-many", agent=False, timeout=120, long_timeout=600)
def offload_many(lab):
    """A thousand connections that say nothing (ten thousand in the long form) cost no memory of the region, and one that is
    busy among them is moved as any other.
    """
    server, client = lab.guests
    count = 9_900 if lab.long else 1000
    redis = servers.redis(server)
    idle = client.spawn(f"ulimit -n 20000; exec redis-benchmark -h {server.ip4} -c {count} -I")
    wait_until(lambda: int(server.check(f"ss -Htn state established sport = :{servers.REDIS_PORT} | wc -l")),
               lambda there: there >= count, 200, "idle connections")
    agents = offload.start(lab)
    before = [busy(agent.guest) for agent in agents]
    time.sleep(5)
    after = [busy(agent.guest) for agent in agents]
    lab.progress("CPU of the two agents in five seconds: " + ", ".join(f"{now - was:.2f} s" for now, was in zip(after, before)))
    running = offload.stream(client, server)
    for agent in agents:
        offload.wait_moved(agent, traffic.IPERF_PORT, seconds=30)
        expect_equal(driver.stats(agent.guest)["dmbs"], 1, "DMBs in use")
        expect_equal(offload.totals(agent)["connections"], 1, "connections that are moved")
    offload.expect_streaming(running)
    for each in (redis.process, idle):
        expect(each.poll() is None, f"{each.what} ended: {each.err}")


@case("direct", "offload-pods", agent=False, timeout=120)
def offload_pods(lab):
    """Programs in network namespaces, by their own addresses and by services' that the client's guest rewrites, also
    behind its own address and another port: the two ends know the connection by other names, and it is moved all the
    same. Nothing is configured for it. A namespace that goes while its connection is moved takes nothing with it.
    """
    server, client = lab.guests
    one, two = (services.make_pod(guest, lab.guests) for guest in lab.guests)
    agents = offload.start(lab, addresses=2 * ADDRESSES)
    for family in ("0.0.0.0", "::"):
        traffic.transfer_server(server, family, traffic.TRANSFER_PORT + (family == "::"), netns=one.netns)
    ports = {one.ip4: traffic.TRANSFER_PORT, one.ip6: traffic.TRANSFER_PORT + 1}
    rules = [(services.service4(1), services.PORT, one.ip4, ports[one.ip4]),
             (services.service6(1), services.PORT, one.ip6, ports[one.ip6])]

    def moved(what: str, address: str, port: int, size: int = 96 << 20) -> None:
        before = [offload.totals(agent)["moved"] for agent in agents]
        told = traffic.transfer(client, address, size, netns=two.netns, port=port)
        after = [offload.totals(agent)["moved"] for agent in agents]
        lab.progress(f"{what}: {json.dumps(told)}")
        expect_equal([now - was for now, was in zip(after, before)], [1, 1], f"connections that were moved, {what}")

    for address, port in ports.items():
        moved(address, address, port)
    for masquerade in (False, True):
        services.rewrite(client, rules, masquerade)
        for address, port, _, _ in rules:
            moved(f"{address}{', masqueraded' * masquerade}", address, port)
    sending = client.spawn(traffic.transfer_argv(one.ip4, 1 << 30, netns=two.netns))
    offload.wait_moved(agents[0], traffic.TRANSFER_PORT)
    sending.kill()
    client.check(f"ip netns del {two.netns}")
    for agent in agents:
        offload.wait_dmbs(agent)


def stock(lab):
    """Debian's servers, each asked by its own clients, and bytes that are checked."""
    server, client = lab.guests
    agents = offload.start(lab)
    started = [make(server) for make in servers.ALL]
    traffic.transfer_server(server)
    began = time.monotonic()
    while time.monotonic() - began < (60 if lab.long else 5):
        for each in started:
            each.ask(client, server.ip4)
    # once over, whose bytes are right whatever they took
    sending = client.spawn(traffic.transfer_argv(server.ip4, 100 << 20))
    for agent in agents:
        offload.wait_moved(agent, traffic.TRANSFER_PORT)
    traffic.transfer_result(sending.wait(60), sending.out + sending.err, "transfer")
    for agent in agents:
        totals = offload.totals(agent)
        lab.progress(f"{agent.guest.name}: {json.dumps(totals)}")
        expect(totals["ring_bytes"] > 16 << 20, f"hardly anything went by rings: {totals}")
        offload.wait_dmbs(agent)
    for each in started:
        expect(each.process.poll() is None, f"{each.name} ended: {each.process.err}")


@case("direct", "offload-servers", agent=False, long_only=True, timeout=150, long_timeout=300)
def offload_servers(lab):
    """redis, nginx and PostgreSQL on the kernel built here, with agents that move what is worth it."""
    stock(lab)


@case("direct", "offload-languages", agent=False, alone=True, long_only=True, timeout=600, memory_mb=1024, kernels=["stock", "6.12"])
def offload_languages(lab):
    """memcached, a program in Go (etcd) and one in Java between Debian's own kernels: connections of each are moved, and
    their clients get the right answers.
    """
    server, client = lab.guests
    agents = offload.start(lab)
    for make in servers.MORE:
        one = make(server)
        before = [offload.totals(agent) for agent in agents]
        one.ask(client, server.ip4)
        for agent, old in zip(agents, before):
            new = offload.totals(agent)
            lab.progress(f"{one.name}, {agent.guest.name}: {new['moved'] - old['moved']} moved, "
                         f"{(new['ring_bytes'] - old['ring_bytes']) >> 10} KiB by rings")
            expect(new["ring_bytes"] - old["ring_bytes"] > 1 << 20, f"{one.name}: hardly anything went by rings: {old} {new}")
        expect(one.process.poll() is None, f"{one.name} ended: {one.process.err}")


@case("direct", "offload-6.12", agent=False, timeout=150, long_timeout=300, kernels=["stock", "6.12"])
def offload_612(lab):
    """The same between Debian's own 6.1 and its own 6.12, which has no SMC: nothing was built for them but the modules."""
    stock(lab)
