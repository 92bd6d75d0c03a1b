# SPDX-License-Identifier: Apache-2.0
"""Agents, guests and brokers that die, and come back."""

import json
import signal
import time

from harness import smcd, traffic
from harness.capture import Capture
from harness.case import case, expect, expect_equal, wait_until

PORT = traffic.TRANSFER_PORT
RESET = 104  # ECONNRESET


def start_transfer(client, server, size: int):
    """A transfer of `size` bytes over SMC-D that is under way."""
    before = traffic.counters(client)
    process = client.spawn(traffic.transfer_argv(server.ip4, size))
    deadline = time.monotonic() + 20
    while (traffic.counters(client) - before).tx_bytes < 1 << 20:
        expect(process.poll() is None, f"the transfer ended early: {process.out + process.err}")
        expect(time.monotonic() < deadline, "the transfer does not start")
    return process


@case("spine", "agent-killed", timeout=120)
def agent_killed(lab):
    """kill -9 during traffic: the transfer finishes, new connections are TCP, a restarted
    agent accelerates again. First the client's agent, then the server's.
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    size = 96 << 20
    for victim in (1, 0):
        agent = lab.agents[victim]
        process = start_transfer(client, server, size)
        agent.kill()
        expect(process.poll() is None, "the transfer was over before the agent was killed")
        # The kernel lets go of the programs at once, the lease of the handshake runs out.
        time.sleep(3.5)
        with Capture() as capture:
            smcd.expect_tcp(client, server)
        answers = capture.from_port(PORT)
        expect(answers and not answers[0].smc, f"option 254 on {answers}")
        process.wait(60)
        traffic.transfer_result(process.code, process.out + process.err, "the transfer")
        agent.start(addresses=2)
        lab.agents[1 - victim].wait_state("active", 2)
        smcd.expect_smcd(client, server)


@case("spine", "agent-stopped", timeout=90)
def agent_stopped(lab):
    """An agent that stands still (SIGSTOP) with all its files open: its lease runs out, new connections are
    TCP, and no SYN of its guest and no SYN-ACK carries the option. When it goes on they are accelerated.
    First the client's, then the server's.
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    for victim, what in ((1, "SYN of a guest whose agent stands still"), (0, "SYN-ACK of one")):
        smcd.expect_smcd(client, server, size=1 << 20)
        lab.agents[victim].process.signal(signal.SIGSTOP)
        time.sleep(3.5)
        with Capture() as capture:
            smcd.expect_tcp(client, server)
        seen = capture.to_port(PORT) if victim else capture.from_port(PORT)
        expect(seen and not seen[0].smc, f"option 254 on the {what}: {seen}")
        lab.agents[victim].process.signal(signal.SIGCONT)
        time.sleep(1.5)  # its next tick
    smcd.expect_smcd(client, server)


def guest_clock(guest) -> float:
    """What to add to this machine's time for the guest's, in seconds; the closest of a few looks."""
    looks = []
    for _ in range(5):
        before = time.time()
        there = float(guest.check("echo $EPOCHREALTIME"))
        after = time.time()
        looks.append((after - before, there - (before + after) / 2))
    return min(looks)[1]


@case("spine", "guest-killed", timeout=120)
def guest_killed(lab):
    """kill -9 of a guest: the survivor's sockets fail within a second, and its next
    connection to the restarted guest is accelerated again.
    """
    victim, survivor = lab.guests
    traffic.transfer_server(victim)
    held = [traffic.hold(survivor, victim.ip4) for _ in range(3)]
    sender = start_transfer(survivor, victim, 1 << 30)

    clock = guest_clock(survivor)
    killed = time.time() + clock
    victim.kill()
    for process in [*held, sender]:
        process.wait(10)
        ended = json.loads(process.out.splitlines()[-1])["ended_ms"] / 1000
        expect(ended - killed < 1, f"a socket failed {ended - killed:.2f} s after its peer died")
    # A sleeping reader sees an error or, by a race in smc_rx_recvmsg(), the end of the stream.
    text = (sender.out + sender.err).decode()
    expect_equal(sender.code, 3, f"exit code of a sender to a dead guest ({text})")

    victim.start()
    victim.wait_boot()
    lab.agents[0].start(addresses=2)
    lab.agents[1].wait_state("active", 2)
    traffic.transfer_server(victim)
    smcd.expect_smcd(survivor, victim)
    expect_equal(traffic.counters(survivor).dmbs <= 4, True, "DMBs of dead connections are gone")


@case("spine", "guest-restarts", timeout=120)
def guest_restarts(lab):
    """A peer that goes and comes forty times, in the same slot: QEMU's ivshmem frees the
    doorbells of a peer it was told is gone, and writes into them when it hears of that peer
    again. The survivor's QEMU has to live, and still accelerate.
    """
    victim, survivor = lab.guests
    for _ in range(40):
        victim.kill()
        victim.start()
        time.sleep(0.2)
        expect(survivor.alive(), "the survivor's QEMU died")
    victim.wait_boot()
    lab.agents[0].start(addresses=2)
    lab.agents[1].wait_state("active", 2)
    traffic.transfer_server(victim)
    smcd.expect_smcd(survivor, victim)


@case("spine", "guest-reset", timeout=120)
def guest_reset(lab):
    """A guest that restarts with its QEMU alive joins anew, under a new generation."""
    victim, survivor = lab.guests
    traffic.transfer_server(victim)
    held = traffic.hold(survivor, victim.ip4)
    before = lab.agents[0].status()["device"]
    victim.reset()
    victim.wait_boot()
    lab.agents[0].start(addresses=2)
    after = lab.agents[0].status()["device"]
    expect(after["generation"] != before["generation"], "the generation is the old one")
    expect_equal(held.wait(10), 3, "exit code of a connection to the old system")
    lab.agents[1].wait_state("active", 2)
    traffic.transfer_server(victim)
    smcd.expect_smcd(survivor, victim)


@case("spine", "broker-killed")
def broker_killed(lab):
    """A broker that is away costs no traffic: connections live on, and new ones are
    accelerated as long as the guests have chunks.
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server)
    process = start_transfer(client, server, 48 << 20)
    lab.brokers[0].kill()
    process.wait(50)
    traffic.transfer_result(process.code, process.out + process.err, "the transfer")
    smcd.expect_smcd(client, server)


def leftovers(guest) -> str:
    """What an agent may leave in a guest's kernel."""
    return guest.check(
        "bpftool prog list; bpftool map list; bpftool link list; "
        "sysctl net.smc.hs_ctrl net.smc.wmem net.smc.rmem; ls /run/smc-steer/*.sock 2>/dev/null; :")


def expect_clean(guest, clean: str, turns: int) -> None:
    """The kernel frees maps and programs a grace period after their last user is gone."""
    wait_until(lambda: leftovers(guest), lambda left: left == clean, 5,
               f"before the first turn: {clean!r}, {turns} turns and then")


@case("spine", "agent-restarts", agent=False, timeout=120, long_timeout=600)
def agent_restarts(lab):
    """Start and stop, fifty times (six in the short form): nothing is left behind, and it
    still accelerates.
    """
    server, client = lab.guests
    client.check("modprobe smc")
    clean = leftovers(client)
    server_agent, agent = lab.agents
    server_agent.launch_ready()
    client.check("modprobe ivpci")
    for turn in range(50 if lab.long else 6):
        agent.launch()
        agent.wait_state("active", 2)
        if turn % 10 == 0:
            server_agent.wait_state("active", 2)
            if turn == 0:
                traffic.transfer_server(server, port=9200)
            smcd.expect_smcd(client, server, size=1 << 20, port=9200)
        expect_equal(agent.stop(), 0, f"exit code of stop {turn}")
        expect_clean(client, clean, turn + 1)
    report = smcd.expect_tcp(client, server, port=9200)
    expect_equal(report["protocol"], smcd.TCP, "SO_PROTOCOL without an agent")
    agent.start(addresses=2)
    server_agent.wait_state("active", 2)
    smcd.expect_smcd(client, server, port=9200)


@case("spine", "agent-stop-with-traffic")
def agent_stop_with_traffic(lab):
    """SIGTERM: established connections live on over SMC-D, new ones are TCP."""
    server, client = lab.guests
    traffic.transfer_server(server)
    process = start_transfer(client, server, 48 << 20)
    expect_equal(lab.agents[1].stop(), 0, "exit code after SIGTERM")
    expect_equal(smcd.expect_tcp(client, server)["protocol"], smcd.TCP, "SO_PROTOCOL")
    process.wait(50)
    traffic.transfer_result(process.code, process.out + process.err, "the transfer")
