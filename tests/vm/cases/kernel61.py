# SPDX-License-Identifier: Apache-2.0
"""Debian 12's own 6.1 as a member of a region: the driver is an smcd device there. Nobody steers,
programs ask for AF_SMC themselves.
"""

import json
import time

from harness import driver, native, paths, smcd, stress, traffic
from harness.case import case, expect, expect_equal, wait_until
from cases.fabric_net_smc import FREED, unbind_in_handshake
from cases.failures import guest_clock

SMC = native.SMC
IDLE = {"dmbs": 0, "dmbs_parked": 0, "dmb_bytes": 0, "attachments": 0}


def open_and_close(client, server, turns: int) -> None:
    """Connections of 8 KiB, one after the other, each checked; all of them over SMC-D."""
    argv = [str(paths.built(traffic.TRANSFER)), "times", *SMC, server.ip4,
            str(traffic.TRANSFER_PORT), "8192", str(turns)]
    run, _, _ = smcd.expect_connections(client, server, turns,
                                        lambda: client.run(argv, 60 + turns // 2))
    report = traffic.transfer_result(run.code, run.out + run.err, "connections one by one")
    expect_equal(report["connections"], turns, "connections")


@case("kernel61", "kernel61-pair", agent=False, timeout=150, long_timeout=900,
      kernels=["stock", "stock"], size="32M", slots=4)
def pair(lab):
    """Two guests on 6.1: checked bytes over SMC-D, IPv4 and IPv6; 200 connections opened and
    closed; a region that is full is TCP; and nothing of all this is left when the peer went.
    """
    server, client = lab.guests
    native.load_all(lab)
    native.server(server)
    native.server(server, 9001, "::")
    smcd.expect_native(client, server)
    smcd.expect_native(client, server, server.ip6, port=9001)
    before = driver.stats(client)
    open_and_close(client, server, 1000 if lab.long else 200)
    after = driver.stats(client)
    expect(after["dmbs"] <= before["dmbs"] + 2, f"DMBs grew from {before['dmbs']} to {after['dmbs']}")

    for guest in lab.guests:
        guest.check("sysctl -q net.smc.wmem=1048576 net.smc.rmem=1048576")
    native.server(server, 9002)
    held = traffic.hold(client, server.ip4, 60, 9002, flags=SMC)
    refused = sum(driver.stats(guest)["refused_full"] for guest in lab.guests)
    expect(refused > 0, "no DMB was refused, the region was not full")
    began = time.monotonic()
    _, made, _ = smcd.expect_connections(
        client, server, 0,
        lambda: traffic.transfer(client, server.ip4, 1 << 20, port=9002, flags=SMC))
    expect(time.monotonic() - began < 20, "a connection in a full region took long")
    expect_equal(made.tx_bytes, 0, "bytes over SMC-D in a full region")
    held.kill()
    held.wait(20)
    smcd.expect_native(client, server)

    client.check("modprobe -r ivpci", 60)
    driver.wait_stats(server, **IDLE)
    server.check("modprobe -r ivpci", 60)


def stress_over_smc(client, server, connections: int, seconds: int) -> None:
    """No connection stands still, and all of them are SMC-D."""
    listener = stress.serve(server, SMC)
    before = traffic.counters(client)
    report = stress.run(client, server, connections, seconds, listener=listener, flags=SMC)
    made = traffic.counters(client) - before
    expect_equal(made.client, connections, "SMC-D connections of stress")
    expect(made.tx_bytes > report["bytes"] // 4, f"{made.tx_bytes} bytes went over SMC-D")
    listener.kill()


@case("kernel61", "kernel61-mixed", agent=False, timeout=120, long_timeout=900,
      kernels=["stock", "guest"])
def mixed(lab):
    """A 6.1 and a 7.3 guest, each as client and as server: checked bytes over SMC-D, read and taken by
    splice(), then twelve connections of which none stands still for two seconds (in the long form five minutes). The
    7.3 guest writes straight into the other's DMBs, the 6.1 guest copies.
    """
    old, new = lab.guests
    native.load_all(lab)
    held = []
    for client, server in ((old, new), (new, old)):
        native.server(server)
        smcd.expect_native(client, server, size=8 << 20)
        # SMC lends pages of DMBs to pipes.
        traffic.transfer_server(server, port=9001, flags=(*SMC, "--splice"))
        smcd.expect_native(client, server, port=9001)
        held.append(native.link(client, server))
        stress_over_smc(client, server, 12, 150 if lab.long else 10)
    expect(driver.stats(new)["attachments"] > 0, "the 7.3 guest has no DMB of the other mapped")
    expect_equal(driver.stats(old)["attachments"], 0, "attachments of the 6.1 guest")
    for process in held:
        expect_equal(process.poll(), None, "exit code of a connection that was to stay")


def fail_promptly(survivor, victim, port: int) -> None:
    """The victim is killed: sockets of the survivor fail within a second, DMBs of its clients and of
    its server are back soon after.
    """
    native.server(victim, port)
    native.server(survivor, port)
    incoming = native.link(victim, survivor, port)
    outgoing = native.link(survivor, victim, port)
    before = traffic.counters(survivor).tx_bytes
    sender = survivor.spawn(traffic.transfer_argv(victim.ip4, 1 << 30, port, flags=SMC))
    wait_until(lambda: traffic.counters(survivor).tx_bytes - before, lambda sent: sent > 1 << 20, 20,
               "bytes of a transfer")
    expect_equal([each.poll() for each in (incoming, outgoing, sender)], [None] * 3, "exit codes")

    clock = guest_clock(survivor)
    ended_at = time.time() + clock
    victim.kill()
    for process in (outgoing, sender):
        process.wait(10)
        ended = json.loads(process.out.splitlines()[-1])["ended_ms"] / 1000
        expect(ended - ended_at < 1, f"a socket failed {ended - ended_at:.2f} s after its peer")
    expect_equal(sender.code, 3, f"exit code of the sender ({sender.out + sender.err!r})")
    driver.wait_stats(survivor, **IDLE)


@case("kernel61", "kernel61-guest-killed", agent=False, long_only=True, timeout=200, kernels=["stock", "guest"])
def guest_killed_61(lab):
    """kill -9 of a 7.3 guest, then of a 6.1 guest: the other's sockets fail within a second and its
    DMBs come back; the guest that comes again is reached over SMC-D.
    """
    native.load_all(lab)
    old, new = lab.guests
    for survivor, victim, port in ((old, new, 9100), (new, old, 9200)):
        fail_promptly(survivor, victim, port)
        victim.start()
        victim.wait_boot()
        native.load(victim)
        native.wait_members(survivor, 1)
        native.wait_members(victim, 1)
        native.server(victim, port + 1)
        smcd.expect_native(survivor, victim, size=1 << 20, port=port + 1)


@case("kernel61", "kernel61-unload", agent=False, timeout=150, kernels=["stock", "stock"])
def unload_61(lab):
    """modprobe -r under traffic, with connections being made at that moment: the sockets at both
    ends fail with an ordinary error, the next ones are TCP; loaded again, SMC-D.
    """
    server, client = lab.guests
    native.load_all(lab)
    native.server(server)
    for victim in (client, server):
        link = native.link(client, server)
        listener = stress.serve(server, SMC)
        running = stress.start(client, server, 4, 60, 20000, SMC)
        argv = " ".join(traffic.transfer_argv(server.ip4, 8192, flags=SMC))
        newcomers = client.spawn(["bash", "-c", f"while :; do {argv}; done"])
        time.sleep(3)
        expect_equal(running.poll(), None, "exit code of stress before the module went")
        victim.check("modprobe -r ivpci", 60)
        expect_equal(running.wait(20), 1, "exit code of stress after the module went")
        expect(b"ended" in running.err, f"stress said {running.err!r}")
        link.wait(20)
        newcomers.kill()
        listener.kill()
        smcd.expect_connections(
            client, server, 0, lambda: traffic.transfer(client, server.ip4, 1 << 20, flags=SMC))
        other = server if victim is client else client
        driver.wait_stats(other, **IDLE)
        native.load(victim)
        native.wait_members(other, 1)
        native.wait_members(victim, 1)
        smcd.expect_native(client, server, size=1 << 20)


@case("kernel61", "kernel61-unbind-during-connect", agent=False, timeout=120, kernels=["guest", "stock"], append=FREED)
def unbind_during_connect_61(lab):
    """The driver is taken from its device while a connect() of a 6.1 guest, whose net/smc has none of our patches,
    waits for the peer's answer: the device is not freed while SMC may still look at it, and the connection is TCP.
    Bound again, the next one is SMC-D, and the guest does not hibernate.
    """
    server, client = lab.guests
    native.load_all(lab)
    native.server(server)
    handshake, unbinding, device = unbind_in_handshake(client, server)
    time.sleep(1)
    expect_equal(unbinding.poll(), None, "exit code of the unbinding, while a connect() has the device")
    handshake.expect_tcp()
    expect_equal(unbinding.wait(20), 0, "exit code of the unbinding")
    client.check(f"echo {device} >/sys/bus/pci/drivers/ivpci/bind")
    for guest in lab.guests:
        native.wait_members(guest, 1)
    smcd.expect_native(client, server, size=1 << 20)
    # pm_test: if nobody objects, only programs are stopped, and go on after five seconds
    asleep = client.run("echo freezer >/sys/power/pm_test; echo disk >/sys/power/state")
    expect("busy" in asleep.err, f"hibernation beside the driver: exit code {asleep.code}, {asleep.err!r}")
