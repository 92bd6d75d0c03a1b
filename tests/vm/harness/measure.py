# SPDX-License-Identifier: Apache-2.0
"""The measurements behind ./dev demo and ./dev bench: pairs of TCP and SMC-D, medians.

A pair runs a work once with the agents stopped and once with them running, close together in
time, so that what else the machine does meets both alike.
"""

import json
from dataclasses import dataclass, field
from statistics import median
from typing import Callable

from . import paths, traffic
from .lab import ADDRESSES, Lab


@dataclass
class Row:
    """One line of the table. `better` is "less" or "more"."""

    name: str
    unit: str
    better: str
    goal: float  # ratio that a machine like the prototype's reaches; 0: none
    tcp: list[float] = field(default_factory=list)
    smc: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        """How many times better SMC-D is."""
        tcp, smc = median(self.tcp), median(self.smc)
        if not tcp or not smc:
            return 0.0
        return tcp / smc if self.better == "less" else smc / tcp


@dataclass
class Work:
    """One program run: fills one or more rows."""

    what: str
    rows: list[Row]
    server: Callable  # (guest, port) -> Process
    run: Callable  # (client, address, port, seconds) -> list of values, one per row


def pingpong(size: int = 64) -> Work:
    name = f"pingpong_{size}B"
    rows = [Row(f"{name}_p50_us", "us", "less", 3.0 if size == 64 else 0.0),
            Row(f"{name}_p99_us", "us", "less", 0.0)]

    def run(client, address, port, seconds):
        latency = traffic.sockperf(client, address, seconds, port, size)
        return [latency.p50, latency.p99]
    return Work(f"sockperf ping-pong {size} B", rows,
                lambda guest, port: traffic.sockperf_server(guest, guest.ip4, port), run)


SIZES_IN_BYTES = {"64B": 64, "1KiB": 1 << 10, "16KiB": 16 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20}


def short(size: str) -> Work:
    """Connections one after the other: connect, so much there and back, close."""
    row = Row(f"short_{size}_us", "us", "less", 0.0)

    def run(client, address, port, seconds):
        return [traffic.repeat(client, address, SIZES_IN_BYTES[size], seconds, port)]
    return Work(f"connections of {size}", [row],
                lambda guest, port: traffic.transfer_server(guest, port=port), run)


FIRST_PORT = 12000

SIZES = {"1KiB": "1K", "64KiB": "64K", "1MiB": "1M"}


def stream(size: str, streams: int = 1) -> Work:
    goal = 1.3 if streams == 1 and size != "1KiB" else 0.0
    row = Row(f"stream_{streams}x_{size}_MBps", "MB/s", "more", goal)

    def run(client, address, port, seconds):
        report = traffic.iperf(client, address, seconds, SIZES[size], streams, port)
        return [traffic.megabytes(report)]
    return Work(f"iperf3 {streams} stream(s), {size} writes", [row], traffic.iperf_server, run)


PLAIN = paths.PROGRAMS / "measure"


def plain_stream(size: str) -> Work:
    """A program that only writes, and one that takes all there is: iperf3 reads as little at a time as it
    writes, and asks select() before each.
    """
    row = Row(f"stream_plain_{size}_MBps", "MB/s", "more", 0.0)

    def serve(guest, port):
        server = guest.spawn([str(paths.built(PLAIN)), "serve", guest.ip4, str(port)])
        server.wait_output("listening", 30)
        return server

    def run(client, address, port, seconds):
        argv = [str(paths.built(PLAIN)), "stream", address, str(port), str(SIZES_IN_BYTES[size]), str(seconds)]
        return [json.loads(client.check(argv, seconds + 60))["MBps"]]
    return Work(f"one stream, {size} writes, large reads", [row], serve, run)


class Meter:
    """Runs works from guest2 to guest1."""

    how = {True: "with the agents running", False: "with the agents stopped"}

    def __init__(self, lab: Lab, seconds: int, progress: Callable[[str], None]):
        self.lab = lab
        self.server, self.client = lab.guests[:2]
        self.seconds = seconds
        self.port = FIRST_PORT
        self.progress = progress
        # Connections by what they ran over, as the client's kernel counted them.
        self.steered = {"smcd": 0, "tcp": 0}  # with the agents running
        self.plain = {"smcd": 0, "tcp": 0}  # with the agents stopped

    def agents(self, wanted: bool) -> None:
        for agent in self.lab.agents:
            running = agent.process is not None and agent.process.poll() is None
            if wanted and not running:
                agent.launch_ready()
            elif running and not wanted:
                agent.stop()
        if wanted:
            others = len(self.lab.guests) - 1
            for agent in self.lab.agents:
                agent.wait_state("active", ADDRESSES * others)

    def once(self, work: Work, steered: bool) -> list[float]:
        """One run. Fails if a steered run did not go over SMC-D or a plain one did."""
        # A listener stays what it was when it was made: a new one for each run.
        # And a port of its own: sockperf does not ask for one that waits for late segments.
        self.port += 1
        server = work.server(self.server, self.port)
        before = traffic.counters(self.client)
        values = work.run(self.client, self.server.ip4, self.port, self.seconds)
        made = traffic.counters(self.client) - before
        server.kill()
        server.wait(10)
        flows = self.steered if steered else self.plain
        flows["smcd"] += made.client
        flows["tcp"] += made.tcp_opens - made.client
        if (made.client > 0) != steered:
            raise AssertionError(f"{work.what}: {made.client} connections went over SMC-D "
                                 f"{self.how[steered]}")
        return values

    def measure(self, works: list[Work], pairs: int) -> list[Row]:
        rows = [row for work in works for row in work.rows]
        for turn in range(pairs):
            for steered in (False, True):
                self.agents(steered)
                for work in works:
                    way = "SMC-D" if steered else "TCP"
                    self.progress(f"pair {turn + 1} of {pairs}, {way}: {work.what}")
                    for row, value in zip(work.rows, self.once(work, steered)):
                        (row.smc if steered else row.tcp).append(value)
        return rows
