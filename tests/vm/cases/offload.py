# SPDX-License-Identifier: Apache-2.0
"""Agents that move programs' TCP connections onto shared memory by themselves (`path: direct`)."""

import json
import time

from harness import driver, offload, servers, traffic
from harness.case import case, expect, expect_equal, wait_until

SERVICE = "10.96.0.1"
# Sends 300 commands to redis one after the other, says so, and keeps the connection.
PINGS = """
    exec {redis}<>/dev/tcp/%s/6379
    ping() { printf 'PING\\r\\n' >&$redis; read -r answer <&$redis; [ "$answer" = $'+PONG\\r' ]; }
    for ((i = 0; i < 1500; i++)); do ping || exit 1; done
    echo said
    read -r; ping && echo answered
"""


def stream(client, server):
    """iperf3, in the background until expect_streaming(), not so fast that nobody else gets a CPU."""
    traffic.iperf_server(server)
    return client.spawn(["iperf3", "--client", server.ip4, "--time", "600", "--length", "64K", "--bitrate", "100M",
                         "--forceflush"])


def expect_streaming(process) -> None:
    """It is at work to the end."""
    said = len(process.out)
    wait_until(lambda: len(process.out), lambda now: now > said, 5, "what iperf3 says")
    expect(process.poll() is None, f"iperf3 ended: {process.out}{process.err}")
    expect(b" 0.00 bits/sec" not in process.out, f"iperf3 stood still: {process.out}")
    process.kill()


@case("direct", "offload-rules", agent=False, timeout=90)
def offload_rules(lab):
    """A stream moves by itself; `smc-policy deny` takes it back within a second, `allow` lets it move again, at either
    end. A program's rule and a workload's are no different.
    """
    server, client = lab.guests
    serving, asking = offload.start(lab)
    running = stream(client, server)
    for agent in (serving, asking):
        offload.wait_moved(agent, traffic.IPERF_PORT)
    for guest, agent in ((server, serving), (client, asking)):
        for words in (f"{traffic.IPERF_PORT}", "--workload command:iperf3", "--workload uid:0"):
            guest.check(f"smc-policy deny {words}")
            began = time.monotonic()
            for each in (serving, asking):
                offload.wait_dmbs(each, seconds=1)
            lab.progress(f"{guest.name} denies {words}: over TCP after {time.monotonic() - began:.2f} s")
            flow = max(offload.flows(agent, traffic.IPERF_PORT), key=lambda flow: flow["bytes_sent"] + flow["bytes_received"])
            expect_equal(flow["mode"], "TCP", "mode of the stream")
            expect("deny" in flow["why_not"], f"why it is not moved: {flow['why_not']!r}")
            rules = agent.ask("rules")["rules"]
            guest.check(f"smc-policy remove {next(rule['number'] for rule in rules if rule['removable'])}")
            for each in (serving, asking):
                offload.wait_moved(each, traffic.IPERF_PORT)
    expect_streaming(running)
    for agent in (serving, asking):
        offload.wait_dmbs(agent)


@case("direct", "offload-agents-die", agent=False, timeout=120)
def offload_agents_die(lab):
    """kill -9, a clean end with on_exit: keep and with restore, an upgrade, of either agent: the stream and bytes that are
    checked go on, and the next agent takes over what is moved.
    """
    server, client = lab.guests
    agents = offload.start(lab)
    traffic.transfer_server(server)
    running = stream(client, server)
    checked = client.spawn(traffic.transfer_argv(server.ip4, 512 << 20))
    for agent in agents:
        offload.wait_moved(agent, traffic.IPERF_PORT)
    for agent, other in (agents, agents[::-1]):
        agent.kill()
        expect(driver.stats(other.guest)["dmbs"] >= 1, "the killed agent's connections went back to TCP")
        agent.launch()
        agent.wait_state("active")
        offload.wait_talking(agent)
        offload.wait_moved(agent, traffic.IPERF_PORT)
        moved = offload.totals(agent)
        agent.guest.check("smc-policy upgrade")
        wait_until(lambda agent=agent: agent.status()["process"]["upgrades"], lambda count: count == 1, 20, "an upgrade")
        offload.wait_talking(agent)
        offload.wait_moved(agent, traffic.IPERF_PORT)
        lab.progress(f"{agent.guest.name}: {json.dumps(moved)}")
        expect_equal(agent.stop(), 0, "the agent's exit code")
        offload.configure(agent.guest, on_exit="restore")
        agent.launch()
        agent.wait_state("active")
        offload.wait_talking(agent)
        offload.wait_moved(agent, traffic.IPERF_PORT)
        expect_equal(agent.stop(), 0, "the agent's exit code")
        offload.wait_dmbs(other, seconds=5)
        agent.launch()
        agent.wait_state("active")
        offload.wait_moved(agent, traffic.IPERF_PORT)
    expect_streaming(running)
    traffic.transfer_result(checked.wait(60), checked.out + checked.err, "transfer")


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
    talking = client.spawn(["bash", "-c", PINGS % server.ip4])
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
    quiet = client.spawn(["redis-cli", "-h", server.ip4, "-i", "0.2", "-r", "20", "ping"])
    expect_equal(quiet.wait(20), 0, "redis-cli's exit code")
    for agent in agents:
        expect_equal(offload.totals(agent)["moved"], 2, "connections that were moved")


def nat(lab):
    """The client knows the server by a service's address and port, which its own netfilter rewrites."""
    server, client = lab.guests
    client.check(f"nft add table ip nat && nft 'add chain ip nat out {{ type nat hook output priority -100; }}' && "
                 f"nft add rule ip nat out ip daddr {SERVICE} tcp dport 8000 dnat to {server.ip4}:{traffic.TRANSFER_PORT} && "
                 f"ip route add {SERVICE} via {server.ip4}")


@case("direct", "offload-nat", agent=False, timeout=90)
def offload_nat(lab):
    """A service's address that the client's netfilter rewrites: the two ends know the connection by other names, and it is
    moved all the same. Nothing is configured for it.
    """
    server, client = lab.guests
    agents = offload.start(lab)
    nat(lab)
    traffic.transfer_server(server)
    sending = client.spawn(traffic.transfer_argv(SERVICE, 256 << 20, port=8000))
    flow, = offload.wait_moved(agents[0], traffic.TRANSFER_PORT)
    wait_until(lambda: offload.totals(agents[1])["connections"], lambda count: count == 1, 5, "moved at the client's end")
    lab.progress(f"the server knows it as {flow['peer']}")
    traffic.transfer_result(sending.wait(60), sending.out + sending.err, "transfer")


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


@case("direct", "offload-servers", agent=False, timeout=150, long_timeout=300)
def offload_servers(lab):
    """redis, nginx and PostgreSQL on the kernel built here, with agents that move what is worth it."""
    stock(lab)


@case("direct", "offload-6.12", agent=False, timeout=150, long_timeout=300, kernels=["stock", "6.12"])
def offload_612(lab):
    """The same between Debian's own 6.1 and its own 6.12, which has no SMC: nothing was built for them but the modules."""
    stock(lab)
