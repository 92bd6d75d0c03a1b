# SPDX-License-Identifier: Apache-2.0
"""The allocator: DMBs that come back, regions that are full."""

import time

from harness import driver, smcd, traffic
from harness.case import case, expect


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
    expect(driver.stats(server)["registered"] > 0, "no DMB was ever registered")
    lab.agents[1].stop()
    client.check("modprobe -r ivpci", 60)
    driver.wait_stats(server, dmbs=0, dmbs_parked=0, dmb_bytes=0, attachments=0)


@case("fabric", "region-full", timeout=90, size="32M", slots=4)
def region_full(lab):
    """A region that is full: the next connection is plain TCP, with the reason counted, and
    nothing stands still.
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    held = traffic.hold(client, server.ip4, 60, timeout=60)
    refused = sum(driver.stats(guest)["refused_full"] for guest in lab.guests)
    expect(refused > 0, "no DMB was refused, the region was not full")
    began = time.monotonic()
    traffic.transfer(client, server.ip4, 1 << 20)
    expect(time.monotonic() - began < 20, "a connection in a full region took long")
    held.kill()
    held.wait(10)
