# SPDX-License-Identifier: Apache-2.0
"""The checked kernel's leak detector, asked at the end of a case."""

import re

from .guest import Guest

FILE = "/sys/kernel/debug/kmemleak"
OURS = re.compile(r"\[(?:ivpci|tcp_ivpci\w*|smc_steer\w*)\]")
# Twice: what is only just unreferenced, or changed while it was looked at, is no leak. Objects
# younger than five seconds are never reported.
SCAN = f"echo scan >{FILE} && sleep 5 && echo scan >{FILE} && cat {FILE}"


def ours(report: str) -> list[str]:
    """Of kmemleak's report those objects that code of ours allocated."""
    objects = re.split(r"(?m)^(?=unreferenced object)", report)
    return [each.strip() for each in objects if OURS.search(each)]


def find(guests: list[Guest], seconds: float = 240) -> list[str]:
    """What leaked in them, a text each. Guests that are dead by now have nothing to say."""
    scans = [(guest, guest.spawn(SCAN)) for guest in guests if guest.alive()]
    found = []
    for guest, scan in scans:
        if scan.wait(seconds):
            found.append(f"{guest.name}: kmemleak does not scan: {scan.err.decode().strip()}")
        report = scan.out.decode()
        if report:
            print(f"{guest.name}: kmemleak:\n{report}", flush=True)
        found += [f"{guest.name}: leaked: {each}" for each in ours(report)]
    return found
