# SPDX-License-Identifier: Apache-2.0
"""Members that stand still and go on, modules and devices taken away under traffic."""

import time

from harness import dibs, driver, smcd, stress, traffic
from harness.case import case, expect, expect_equal, wait_until

STALLS_ALLOWED = "/sys/module/rcupdate/parameters/rcu_cpu_stall_suppress"


@case("fabric", "stopped-guest", timeout=90, long_timeout=240)
def stopped_guest(lab):
    """QEMU stopped (SIGSTOP) under traffic and continued, a minute in the long form: the
    connections go on where they were.
    """
    server, client = lab.guests
    stress.serve(server)
    pause = 60 if lab.long else 6
    running = stress.start(client, server, 4, pause + 12, (pause + 8) * 1000)
    time.sleep(4)
    # The stopped guest's clock runs on, which its RCU would take for a stall.
    server.check(f"echo 1 >{STALLS_ALLOWED}")
    server.freeze()
    time.sleep(pause)
    server.thaw()
    server.check(f"sleep 2; echo 0 >{STALLS_ALLOWED}")
    stress.finish(running, pause + 60)


@case("fabric", "silent-guest", timeout=90)
def silent_guest(lab):
    """A guest that stands still for longer than its peers wait (silent_s), as one that hangs does:
    the sockets of the survivor fail with an ordinary error, no new one is tried over SMC-D, and
    memory stays set aside. When it goes on its own sockets fail too, all memory is back, and the
    next connection is accelerated.
    """
    server, client = lab.guests
    stress.serve(server)
    traffic.transfer_server(server)
    running = stress.start(client, server, 4, 60, 60000)
    held = traffic.hold(client, server.ip4, 2)
    client.check("echo 3 >/sys/module/ivpci/parameters/silent_s")
    server.check(f"echo 1 >{STALLS_ALLOWED}")
    server.freeze()
    expect_equal(running.wait(20), 1, "exit code of stress with a guest that stands still")
    expect(b"ended" in running.err, f"stress said {running.err!r}")
    expect_equal(held.wait(20), 3, "exit code of a reader of a guest that stands still")
    counted = driver.stats(client)
    expect_equal(counted["peers_silent"], 1, "peers found silent")
    expect("stands still: connections with it end" in client.console(), "the driver said nothing")
    wait_until(lambda: lab.agents[1].status()["same_host_addresses"], lambda known: known == 0, 20,
               "addresses of a guest that stands still")
    server.thaw()
    for guest in lab.guests:
        wait_until(lambda guest=guest: driver.stats(guest), lambda now: now["dmbs"] <= 2, 20,
                   f"DMBs of {guest.name}, but for the agents' link")
    for agent in lab.agents:
        agent.wait_state("active", 2)
    server.check(f"echo 0 >{STALLS_ALLOWED}")
    smcd.expect_smcd(client, server)


def events(client: dibs.Client) -> int:
    return int(client.ask("events").split()[0])


@case("fabric", "silent-client", agent=False, timeout=60)
def silent_client(lab):
    """A guest that stood still is told that its peers gave it up, by their drivers: as a DIBS client sees it.
    (SMC tells of link groups that end, too, where it has any.)
    """
    survivor, silent = (dibs.Client(guest) for guest in lab.guests)
    for one, other in ((survivor, silent), (silent, survivor)):
        wait_until(lambda one=one, other=other: one.run(f"query {other.gid}")[0][1], lambda error: not error,
                   20, "reachable")
    survivor.guest.check("echo 3 >/sys/module/ivpci/parameters/silent_s")
    before = events(survivor), events(silent)
    silent.guest.freeze()
    wait_until(lambda: events(survivor), lambda now: now > before[0], 20, "told that a peer stands still")
    silent.guest.thaw()
    wait_until(lambda: events(silent), lambda now: now > before[1], 10, "told that it stood still")


@case("fabric", "unload-under-traffic", cpus=2, timeout=90)
def unload_under_traffic(lab):
    """modprobe -r under traffic: the sockets at both ends fail with an ordinary error, and the
    next connections are TCP, then SMC-D again.
    """
    server, client = lab.guests
    stress.serve(server)
    traffic.transfer_server(server)
    running = stress.start(client, server, 4, 40, 20000)
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
    stress.serve(server)
    traffic.transfer_server(server)
    running = stress.start(client, server, 4, 40, 20000)
    time.sleep(3)
    client.check(f"echo 1 >{driver.DEVICE}/device/remove", 60)
    expect_equal(running.wait(30), 1, "exit code of stress after the device went")
    expect(client.run(f"test -e {driver.DEVICE}").code != 0, "the device is still there")
    before = traffic.raw_counters(client)["smc"]["client"]
    traffic.transfer(client, server.ip4, 1 << 20)
    made = traffic.raw_counters(client)["smc"]["client"] - before
    expect_equal(made, 0, "SMC-D connections without a device")
    driver.wait_stats(server, attachments=0)
