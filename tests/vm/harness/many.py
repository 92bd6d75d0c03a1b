# SPDX-License-Identifier: Apache-2.0
"""tests/vm/programs/many: connections by the thousand, all open at the same time or one after the
other.
"""

import json
import signal

from . import paths
from .case import expect, expect_equal, wait_until
from .channel import Process
from .guest import Guest

PROGRAM = paths.PROGRAMS / "many"
PORT = 9600
BYTES = 4096  # there and back on each connection, twice


def small_buffers(guests: list[Guest]) -> None:
    """16 KiB, the smallest DMB there is: so that thousands fit."""
    for guest in guests:
        guest.check("sysctl -q net.smc.wmem=16384 net.smc.rmem=16384")


def serve(guest: Guest) -> Process:
    server = guest.spawn([str(paths.built(PROGRAM)), "serve", str(PORT)])
    server.wait_output("listening", 20)
    return server


def argv(mode: str, server: Guest, count: int, size: int) -> list[str]:
    return [str(paths.built(PROGRAM)), mode, server.ip4, str(PORT), str(count), str(size)]


def start(client: Guest, server: Guest, count: int) -> Process:
    """That many connections, about to be made, checked, and held until it is killed."""
    return client.spawn(argv("run", server, count, BYTES))


def again(process: Process) -> None:
    """Every byte on each of the connections of start(), checked before, once more: begins with it."""
    process.signal(signal.SIGUSR1)


def wait_again(process: Process, count: int, timeout: float = 60) -> None:
    """Until that has been done `count` times."""
    wait_until(lambda: process.poll() or process.out.decode().count("again"), lambda times: times == count,
               timeout, "connections checked once more")


def each(client: Guest, server: Guest, count: int, size: int) -> Process:
    """That many connections, about to be made and checked one after the other."""
    return client.spawn(argv("each", server, count, size))


def expect_checked(process: Process, count: int, timeout: float = 600) -> None:
    """Every byte on each of the connections came back right; they are still open."""
    process.wait_output("bytes", timeout)
    expect(process.poll() is None, "the connections are not held")
    report = json.loads(process.out.decode().splitlines()[-1])
    expect_equal(report, {"connections": count, "bytes": 2 * count * BYTES}, "the report of many")
