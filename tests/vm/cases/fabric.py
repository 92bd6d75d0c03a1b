# SPDX-License-Identifier: Apache-2.0
"""The driver under load, in small regions, between members that leave, lie or stand still."""

import json
import time

from harness import paths, smcd, traffic
from harness.case import case, expect, expect_equal

STRESS = paths.PROGRAMS / "stress"
SCRIBBLE = paths.PROGRAMS / "scribble"
STRESS_PORT = 9100
DEVICE = "/sys/class/misc/ivpci0"


def stats(guest) -> dict:
    return traffic.raw_counters(guest)["ivpci"]["ivpci0"]


def stress_server(guest):
    server = guest.spawn([str(paths.built(STRESS)), "serve", str(STRESS_PORT)])
    server.wait_output("listening", 20)
    return server


def stress(client, server, connections: int, seconds: int, limit_ms: int = 2000) -> dict:
    """Fails when a connection breaks, brings a wrong byte, or stands still."""
    run = client.run([str(paths.built(STRESS)), "run", server.ip4, str(STRESS_PORT),
                      str(connections), str(seconds), str(limit_ms)], seconds + 60)
    expect_equal(run.code, 0, f"exit code of stress ({(run.out + run.err).strip()})")
    return json.loads(run.out)


def load_driver(guest, *parameters: str) -> None:
    guest.check(f"modprobe -r ivpci; modprobe ivpci {' '.join(parameters)}")


@case("fabric", "no-lost-wakeup", timeout=80, long_timeout=900)
def no_lost_wakeup(lab):
    """Small and large messages, blocking, select and epoll, buffers of 16 KiB to 1 MiB: no
    connection stands still for two seconds (ten minutes in the long form).
    """
    server, client = lab.guests
    stress_server(server)
    before = traffic.counters(client)
    report = stress(client, server, 12, 600 if lab.long else 30)
    made = traffic.counters(client) - before
    expect_equal(made.client, 12, "SMC-D connections")
    expect(made.tx_bytes > report["bytes"] // 4, f"{made.tx_bytes} bytes went over SMC-D")
    counted = stats(client)
    expect(counted["doorbells_sent"] + counted["doorbells_skipped"] > 0, "nobody was told")


@case("fabric", "copy-modes", agent=False, timeout=90, long_timeout=400)
def copy_modes(lab):
    """Own send buffers (nocopy=N) on both sides instead of mapped ones; in the long form on
    either side, too, which is not reliable yet (docs/STATUS.md).
    """
    server, client = lab.guests
    mixed = [("Y", "N"), ("N", "Y")] if lab.long else []
    for at_server, at_client in [("N", "N"), *mixed]:
        for agent in lab.agents:
            if agent.process:
                agent.stop()
        load_driver(server, f"nocopy={at_server}")
        load_driver(client, f"nocopy={at_client}")
        for agent in lab.agents:
            agent.start()
        for agent in lab.agents:
            agent.wait_state("active", 2)
        listener = stress_server(server)
        before = traffic.counters(client)
        stress(client, server, 4, 60 if lab.long else 4)
        expect_equal((traffic.counters(client) - before).client, 4, "SMC-D connections")
        attachments = stats(client)["attachments"]
        expect(attachments == 0 or at_client == "Y", f"{attachments} attachments with nocopy=N")
        listener.kill()


@case("fabric", "memory-comes-back", timeout=90, long_timeout=1800)
def memory_comes_back(lab):
    """After many connections have come and gone, and the peer too, the allocator is as it was:
    not a byte of a DMB is missing (20,000 connections in the long form).
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    for guest in lab.guests:
        guest.check("sysctl -q net.smc.wmem=65536 net.smc.rmem=65536")
    turns = 200 if lab.long else 4
    for _ in range(turns):
        held = traffic.hold(client, server.ip4, 100 if lab.long else 40, timeout=60)
        held.kill()
        held.wait(20)
    smcd.expect_smcd(client, server, size=1 << 16)
    expect(stats(server)["registered"] > 0, "no DMB was ever registered")
    lab.agents[1].stop()
    client.check("modprobe -r ivpci", 60)
    wait_stats(server, dmbs=0, dmbs_parked=0, dmb_bytes=0, attachments=0)


def wait_stats(guest, seconds: float = 20, **wanted: int) -> dict:
    """Until the driver's counters are as wanted."""
    deadline = time.monotonic() + seconds
    while True:
        now = stats(guest)
        if all(now[name] == value for name, value in wanted.items()):
            return now
        if time.monotonic() > deadline:
            raise AssertionError(f"{guest.name}: wanted {wanted}, has {now}")
        time.sleep(0.5)


@case("fabric", "region-full", timeout=90, size="32M", slots=4)
def region_full(lab):
    """A region that is full: the next connection is plain TCP, with the reason counted, and
    nothing stands still.
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    held = traffic.hold(client, server.ip4, 60, timeout=60)
    refused = sum(stats(guest)["refused_full"] for guest in lab.guests)
    expect(refused > 0, "no DMB was refused, the region was not full")
    began = time.monotonic()
    traffic.transfer(client, server.ip4, 1 << 20)
    expect(time.monotonic() - began < 20, "a connection in a full region took long")
    held.kill()
    held.wait(10)


@case("fabric", "stopped-guest", timeout=90, long_timeout=240)
def stopped_guest(lab):
    """QEMU stopped (SIGSTOP) under traffic and continued, a minute in the long form: the
    connections go on where they were.
    """
    server, client = lab.guests
    stress_server(server)
    pause = 60 if lab.long else 6
    running = client.spawn([str(paths.built(STRESS)), "run", server.ip4, str(STRESS_PORT), "4",
                            str(pause + 12), str((pause + 8) * 1000)])
    time.sleep(4)
    server.freeze()
    time.sleep(pause)
    server.thaw()
    code = running.wait(pause + 60)
    expect_equal(code, 0, f"exit code of stress ({(running.out + running.err).decode()})")


@case("fabric", "unload-under-traffic", timeout=90)
def unload_under_traffic(lab):
    """modprobe -r under traffic: the sockets at both ends fail with an ordinary error, and the
    next connections are TCP, then SMC-D again.
    """
    server, client = lab.guests
    stress_server(server)
    traffic.transfer_server(server)
    running = client.spawn([str(paths.built(STRESS)), "run", server.ip4, str(STRESS_PORT), "4",
                            "40", "20000"])
    time.sleep(3)
    lab.agents[1].stop()
    client.check("modprobe -r ivpci", 60)
    expect_equal(running.wait(20), 1, "exit code of stress after the module went")
    expect(b"ended" in running.err, f"stress said {running.err!r}")
    smcd.expect_tcp(client, server)
    lab.agents[1].start(addresses=2)
    lab.agents[0].wait_state("active", 2)
    smcd.expect_smcd(client, server)


@case("fabric", "device-removed", timeout=90)
def device_removed(lab):
    """The device is taken from the guest's PCI bus under traffic: the sockets fail, new
    connections are TCP, and what the peer held is free again.
    """
    server, client = lab.guests
    stress_server(server)
    traffic.transfer_server(server)
    running = client.spawn([str(paths.built(STRESS)), "run", server.ip4, str(STRESS_PORT), "4",
                            "40", "20000"])
    time.sleep(3)
    client.check(f"echo 1 >{DEVICE}/device/remove", 60)
    expect_equal(running.wait(30), 1, "exit code of stress after the device went")
    expect(client.run(f"test -e {DEVICE}").code != 0, "the device is still there")
    before = traffic.raw_counters(client)["smc"]["client"]
    traffic.transfer(client, server.ip4, 1 << 20)
    made = traffic.raw_counters(client)["smc"]["client"] - before
    expect_equal(made, 0, "SMC-D connections without a device")
    wait_stats(server, attachments=0)


@case("fabric", "hostile-member", guests=3, timeout=120, long_timeout=400)
def hostile_member(lab):
    """A member that writes garbage over all it can reach of the other areas' words, under load:
    no kernel complains, and TCP and loopback go on. Then over everything.
    """
    server, client, hostile = lab.guests
    traffic.transfer_server(server)
    stress_server(server)
    load = client.spawn([str(paths.built(STRESS)), "run", server.ip4, str(STRESS_PORT), "4",
                         "1000", "1000000"])
    resource = f"{DEVICE}/device/resource2"
    seconds = 30 if lab.long else 4
    for targets in ("o", "r", "b", "c", "d", "a", "h", "hax"):
        run = hostile.run(f"{paths.built(SCRIBBLE)} {resource} 16 {seconds} {targets}", seconds + 30)
        expect_equal(run.code, 0, f"exit code of scribble ({run.out + run.err})")
        expect("0 writes" != run.out.strip(), "nothing was written")
    load.kill()
    for guest in (server, client):
        expect_equal(guest.run("true").code, 0, f"{guest.name} answers")
    # The memory is spoilt; TCP has nothing to do with it.
    for agent in lab.agents[:2]:
        agent.stop()
    plain_server = traffic.transfer_server(server, port=9500)
    report = traffic.transfer(client, server.ip4, 4 << 20, port=9500)
    expect_equal(report["protocol"], smcd.TCP, "SO_PROTOCOL without agents")
    traffic.transfer(server, "127.0.0.1", 4 << 20, port=9500)
    plain_server.kill()
