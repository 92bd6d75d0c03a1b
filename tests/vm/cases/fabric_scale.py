# SPDX-License-Identifier: Apache-2.0
"""Many guests, many connections."""

from harness import driver, many, traffic
from harness.case import case, expect, expect_equal


@case("fabric", "eight-guests", long_only=True, guests=8, cpus=1, memory_mb=320, timeout=150)
def eight_guests(lab):
    """Eight guests in one region: each pair exchanges checked bytes, all of it over SMC-D."""
    for guest in lab.guests:
        traffic.transfer_server(guest)
    before = [traffic.counters(guest) for guest in lab.guests]
    # Each with those after it, all of them at once.
    sending = []
    for guest in lab.guests:
        argv = [" ".join(traffic.transfer_argv(other.ip4, 256 << 10))
                for other in lab.guests[guest.number:]]
        if argv:
            sending.append((guest, guest.spawn(" && ".join(argv))))
    for guest, process in sending:
        expect_equal(process.wait(120), 0,
                     f"{guest.name}: transfers ({(process.out + process.err).decode()})")
    for at, guest in enumerate(lab.guests):
        made = traffic.counters(guest) - before[at]
        expect_equal((made.client, made.server), (7 - at, at),
                     f"SMC-D connections made and accepted by {guest.name}")
        expect_equal(len(guest.check(f"cat {driver.DEVICE}/members").splitlines()), 7,
                     f"members {guest.name} sees")


@case("fabric", "thousand-connections", size="2G", timeout=150, long_timeout=600)
def thousand_connections(lab):
    """1,000 connections between two guests (300 in the short form), open at the same time, bytes
    checked on each.
    """
    server, client = lab.guests
    count = 1000 if lab.long else 300
    many.small_buffers(lab.guests)
    many.serve(server)
    before = traffic.counters(client)
    held = many.start(client, server, count)
    many.expect_checked(held, count)
    expect_equal((traffic.counters(client) - before).client, count, "SMC-D connections")
    for guest in lab.guests:
        expect(driver.stats(guest)["dmbs"] >= count, f"{guest.name} has fewer DMBs")
    held.kill()


@case("fabric", "thousands-in-a-region", guests=4, size="2G", timeout=150, long_timeout=900)
def thousands_in_a_region(lab):
    """Four guests in a ring, each with 1,000 connections to the next (100 in the short form): 4,000
    in a region of 2 GiB, bytes checked on each.
    """
    count = 1000 if lab.long else 100
    many.small_buffers(lab.guests)
    for guest in lab.guests:
        many.serve(guest)
    before = [traffic.counters(guest) for guest in lab.guests]
    ring = [*lab.guests[1:], lab.guests[0]]
    held = [many.start(guest, to, count) for guest, to in zip(lab.guests, ring)]
    for process in held:
        many.expect_checked(process, count)
    for at, guest in enumerate(lab.guests):
        made = traffic.counters(guest) - before[at]
        expect_equal((made.client, made.server), (count, count),
                     f"SMC-D connections made and accepted by {guest.name}")
        expect(driver.stats(guest)["dmbs"] >= 2 * count, f"{guest.name} has fewer DMBs")
    for process in held:
        process.kill()
