# SPDX-License-Identifier: Apache-2.0
"""Allocations that fail. The checked kernel alone can make them (failslab)."""

import json

from harness import driver, many, paths, smcd, traffic
from harness.case import case, expect, expect_equal

FAULTS = paths.PROGRAMS / "faults"
FAILSLAB = "/sys/kernel/debug/failslab"


def faults(guest, *words: str) -> dict:
    """Each allocation in turn fails; what became of it (faults.cc)."""
    run = guest.run([str(paths.built(FAULTS)), *words], 500)
    expect_equal(run.code, 0, f"exit code of faults {words[0]} ({(run.out + run.err).strip()})")
    report = json.loads(run.out)
    print(guest.name, words, report, flush=True)
    expect(report["failures"] > 0, f"no allocation of {words[0]} failed")
    return report


@case("fabric", "failing-allocations", checked_only=True, timeout=150)
def failing_allocations(lab):
    """Each allocation in turn fails while the device is opened and while connections are made: it
    works or fails with an ordinary error, a connection that is made carries every byte, and nothing
    leaks. Not while it is bound: memremap_pages() itself warns then, and cannot be called again.
    """
    server, client = lab.guests
    traffic.transfer_server(server)
    many.serve(server)
    for guest in lab.guests:
        guest.check(f"echo N >{FAILSLAB}/ignore-gfp-wait; echo 0 >{FAILSLAB}/verbose")

    opened = faults(client, "open", "/dev/ivpci0")
    expect(0 < opened["worked"] < opened["done"], f"of the opens: {opened}")

    before = traffic.counters(client)
    connected = faults(client, "connect", server.ip4, str(many.PORT))
    made = (traffic.counters(client) - before).client
    expect(made > 0, f"no connection was made over SMC-D: {connected}")
    expect(driver.stats(client)["refused_memory"] > 0, "the driver was never out of memory")
    smcd.expect_smcd(client, server)

    lab.agents[1].stop()
    client.check("modprobe -r ivpci", 100)
    lab.agents[1].start(addresses=2)
    lab.agents[0].wait_state("active", 2)
    smcd.expect_smcd(client, server)
    lab.agents[1].stop()
    client.check("modprobe -r ivpci", 100)
    driver.wait_stats(server, 60, dmbs=0, dmbs_parked=0, attachments=0)
