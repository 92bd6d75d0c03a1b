# SPDX-License-Identifier: Apache-2.0
"""What has to stay plain TCP: connections to others, denied ports, guests without the parts."""

import subprocess

from harness import net, paths, smcd, traffic
from harness.capture import Capture
from harness.case import case, expect, expect_equal

PORT = traffic.TRANSFER_PORT


def expect_option(syns, wanted: bool, what: str) -> None:
    expect(syns, f"no {what} was seen on the bridge")
    for syn in syns:
        expect_equal(syn.smc, wanted, f"option 254 on the {what} {syn}")


@case("spine", "deny-port")
def deny_port(lab):
    """A denied port is TCP from the next connection on, without option 254 on the wire; the
    rule survives a restart, deny wins over allow, and allow takes it back.
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    with Capture() as capture:
        smcd.expect_smcd(client, server)
    expect_option(capture.to_port(PORT), True, "SYN of an allowed port")
    expect_option(capture.from_port(PORT), True, "SYN-ACK of an allowed port")

    client.check(["smc-policy", "deny", f"{PORT - 10}-{PORT + 10}"])
    with Capture() as capture:
        smcd.expect_tcp(client, server)
    expect_option(capture.to_port(PORT), False, "SYN of a denied port")

    client.check(["smc-policy", "allow", str(PORT)])
    smcd.expect_tcp(client, server)

    lab.agents[1].stop()
    lab.agents[1].start(addresses=2)
    with Capture() as capture:
        smcd.expect_tcp(client, server)
    expect_option(capture.to_port(PORT), False, "SYN after a restart")

    client.check(["smc-policy", "allow", f"{PORT - 10}-{PORT + 10}"])
    smcd.expect_smcd(client, server)


@case("spine", "deny-port-at-the-server")
def deny_port_at_the_server(lab):
    """The server's rules count too: it answers without the option."""
    server, client = lab.guests
    traffic.transfer_server(server)
    server.check(["smc-policy", "deny", str(PORT)])
    with Capture() as capture:
        smcd.expect_tcp(client, server)
    expect_option(capture.to_port(PORT), True, "SYN")
    expect_option(capture.from_port(PORT), False, "SYN-ACK")


def local_transfer(*words: str) -> list[str]:
    return [str(paths.built(traffic.TRANSFER)), *words]


@case("spine", "unknown-peer")
def unknown_peer(lab):
    """A host on the bridge without ivpci sees no option 254, in either direction."""
    guest = lab.guests[0]
    with Capture() as capture:
        for address in (net.HOST4, net.HOST6):
            host = subprocess.Popen(local_transfer("serve", address, str(PORT)))
            guest.check("sleep 0.2")
            report = traffic.transfer(guest, address, 1 << 20)
            expect_equal(report["bytes"], 1 << 20, "bytes")
            host.kill()
            host.wait()
        traffic.transfer_server(guest, "::", PORT + 1)
        for address in (guest.ip4, guest.ip6):
            run = subprocess.run(local_transfer("send", address, str(PORT + 1), str(1 << 20)),
                                 capture_output=True, text=True, timeout=30, check=False)
            traffic.transfer_result(run.returncode, run.stdout + run.stderr, "from the host")
    expect_equal(len(capture.to_port(PORT)), 2, "connections to the host")
    expect_option(capture.to_port(PORT), False, "SYN to the host")
    expect_option(capture.from_port(PORT + 1), False, "SYN-ACK to the host")
    status = lab.agents[0].status()
    expect_equal(status["connections"]["smcd"], 0, "SMC-D connections")


@case("spine", "peer-without-agent", agent=False)
def peer_without_agent(lab):
    """One guest runs smc-agent, the other only has the device: TCP, both ways."""
    with_agent, without = lab.guests
    without.check("modprobe ivpci")
    lab.agents[0].start()
    traffic.transfer_server(with_agent)
    traffic.transfer_server(without)
    with Capture() as capture:
        smcd.expect_tcp(with_agent, without)
        smcd.expect_tcp(without, with_agent)
    expect_option(capture.to_port(PORT), False, "SYN")
    expect_option(capture.from_port(PORT), False, "SYN-ACK")


IDLE = "workloads: all\nwhen_unsupported: idle\n"


def expect_refusal(agent, other, *words: str) -> None:
    """smc-agent says in one line what is missing and ends with 3; set to idle it stays and
    says the same in its status. The guest's connections to `other` are TCP throughout.
    """
    guest = agent.guest
    traffic.transfer_server(other)
    run = guest.run([str(paths.built(paths.AGENT))], 20)
    text = (run.out + run.err).strip()
    expect_equal(run.code, 3, f"exit code of smc-agent, which said {text!r}")
    expect_equal(len(text.splitlines()), 1, f"lines of {text!r}")
    for word in words:
        expect(word in text, f"{word!r} is not in {text!r}")
    expect_equal(traffic.transfer(guest, other.ip4, 1 << 20)["protocol"], smcd.TCP, "SO_PROTOCOL")

    guest.configure_agent(IDLE)
    agent.launch()
    agent.wait_state("idle")
    reason = agent.status()["reason"]
    for word in words:
        expect(word in reason, f"{word!r} is not in the status's reason {reason!r}")
    expect_equal(traffic.transfer(guest, other.ip4, 1 << 20)["protocol"], smcd.TCP, "SO_PROTOCOL")


@case("spine", "no-device", agent=False, regions=0)
def no_device(lab):
    """No ivshmem device: the driver loads, the agent says so, TCP is untouched."""
    for guest in lab.guests:
        guest.check("modprobe ivpci")
    expect_refusal(lab.agents[0], lab.guests[1], "ivpci", "device")
    expect_equal(lab.agents[0].stop(), 0, "exit code after SIGTERM")


@case("spine", "no-module", agent=False)
def no_module(lab):
    """The device without its driver; an idle agent becomes active once it is loaded."""
    expect_refusal(lab.agents[0], lab.guests[1], "ivpci", "modprobe ivpci")
    for guest in lab.guests:
        guest.check("modprobe ivpci")
    lab.agents[1].start()
    lab.agents[0].wait_state("active", 2)
    lab.agents[1].wait_state("active", 2)
    traffic.transfer_server(lab.guests[0], port=9100)
    smcd.expect_smcd(lab.guests[1], lab.guests[0], port=9100)


@case("spine", "wrong-kernel", kernels=["guest", "stock"])
def wrong_kernel(lab):
    """Debian 12's own kernel has SMC but nothing to steer with: the agent names it and what is
    missing. Between such a guest and one with everything: TCP, both ways, without option 254.
    """
    able, stock = lab.guests
    with Capture() as capture:
        expect_refusal(lab.agents[1], able, "kernel 6.1", "smc_hs_ctrl", "tcp_ivpci", "6.19")
        traffic.transfer_server(stock, port=PORT + 1)
        smcd.expect_tcp(able, stock, port=PORT + 1)
        smcd.expect_tcp(stock, able)
    for port in (PORT, PORT + 1):
        expect_option(capture.to_port(port), False, "SYN")
        expect_option(capture.from_port(port), False, "SYN-ACK")
    expect_equal(lab.agents[0].status()["state"], "active", "the other guest's agent")
    expect_equal(lab.agents[1].stop(), 0, "exit code after SIGTERM")
