# SPDX-License-Identifier: Apache-2.0
"""./dev bench --only splice: plain TCP, spliced (carried on by the module smc_join, as is the default),
relayed over loopback connections (joined by TCP, and by sockmap), and native, side by side on Debian
12's own 6.1. One program makes all of it (tests/vm/programs/measure): native is when it asks for
AF_SMC.
"""

import json
from dataclasses import dataclass, field
from statistics import median
from typing import Callable

from . import native, paths, splice, traffic
from .guest import CommandFailed, Guest
from .lab import Lab
from .measure import FIRST_PORT, SIZES_IN_BYTES

MEASURE = paths.PROGRAMS / "measure"
PORTS = f"{FIRST_PORT}-{FIRST_PORT + 999}"
MODES = ("tcp", "spliced", "loopback", "sockmap", "native")
JOINS = {"spliced": "kernel", "native": "kernel"}  # agent.yaml's `join`; else as the mode is called
# What spliced is to be, of plain TCP (issue: latency <= 0.75, throughput >= 1).
LATENCY_GOAL, THROUGHPUT_GOAL = 0.75, 1.0


@dataclass
class Row:
    name: str
    unit: str
    better: str  # "less" or "more"
    goal: float = 0.0  # spliced, of plain TCP
    runs: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})

    def value(self, mode: str) -> float:
        return median(self.runs[mode])

    def ratio(self, mode: str) -> float:
        """Of plain TCP."""
        return self.value(mode) / self.value("tcp") if self.value("tcp") else 0.0

    def met(self) -> bool:
        ratio = self.ratio("spliced")
        return not self.goal or (ratio <= self.goal if self.better == "less" else ratio >= self.goal)


def busy_seconds(guests: list[Guest]) -> float:
    """Of all CPUs of the guests since they started: everything but idle and iowait."""
    total = 0
    for guest in guests:
        words = guest.check("head -n 1 /proc/stat").split()[1:]
        total += sum(map(int, words[:8])) - int(words[3]) - int(words[4])
    return total / 100


class Meter:
    """Runs from guest2 to guest1, in one mode after the other."""

    def __init__(self, lab: Lab, seconds: int, progress: Callable[[str], None]):
        self.lab, self.seconds, self.progress = lab, seconds, progress
        self.server, self.client = lab.guests[:2]
        self.port = FIRST_PORT
        self.pingpong = [Row(f"pingpong_64B_{name}_us", "us", "less", goal)
                         for name, goal in (("p50", LATENCY_GOAL), ("p99", 0.0))]
        self.streams = {size: (Row(f"stream_{size}_MBps", "MB/s", "more", THROUGHPUT_GOAL),
                               Row(f"stream_{size}_cpu_ns_per_KiB", "ns", "less"))
                        for size in ("64KiB", "1MiB")}
        self.failed: list[str] = []
        self.connections = Row("connections_64B_per_s", "1/s", "more")

    def rows(self) -> list[Row]:
        return [*self.pingpong, *(row for pair in self.streams.values() for row in pair),
                self.connections]

    def agents(self, mode: str) -> None:
        for agent in self.lab.agents:
            if agent.process is not None and agent.process.poll() is None:
                agent.stop()
        if mode != "tcp":
            splice.start(self.lab, PORTS, f"{{join: {JOINS.get(mode, mode)}}}", log="info")

    def carried(self, mode: str) -> int:
        """Ends of connections that the kernels have taken over."""
        return 0 if mode == "tcp" else sum(splice.counters(agent)["carried"] for agent in self.lab.agents)

    def run(self, mode: str, what: str, size: int) -> dict:
        """One run of the program; it has to go where the mode says."""
        self.port += 1
        flags = native.SMC if mode == "native" else ()
        server = self.server.spawn([str(paths.built(MEASURE)), "serve", *flags, self.server.ip4,
                                    str(self.port)])
        server.wait_output("listening", 20)
        before = traffic.counters(self.client)
        carried = self.carried(mode)
        out = self.client.check([str(paths.built(MEASURE)), what, *flags, self.server.ip4,
                                 str(self.port), str(size), str(self.seconds)], self.seconds + 40)
        made = traffic.counters(self.client) - before
        server.kill()
        server.wait(10)
        if (made.tx_bytes + made.rx_bytes > 0) != (mode != "tcp"):
            raise AssertionError(f"{mode}: {made.tx_bytes} bytes went over SMC-D")
        if self.carried(mode) - carried != (2 if mode == "spliced" else 0):
            raise AssertionError(f"{mode}: the kernel has {self.carried(mode)} connections, had {carried}")
        return json.loads(out)

    def once(self, mode: str) -> None:
        self.progress(f"{mode}: ping-pong")
        report = self.run(mode, "pingpong", 64)
        for row, name in zip(self.pingpong, ("p50_us", "p99_us")):
            row.runs[mode].append(report[name])
        for size, (row, cpu) in self.streams.items():
            self.progress(f"{mode}: stream, {size} writes")
            before = busy_seconds(self.lab.guests)
            try:
                speed = self.run(mode, "stream", SIZES_IN_BYTES[size])["MBps"]
            except CommandFailed as error:
                if mode != "sockmap":  # it has no back-pressure (docs/COMPATIBILITY.md)
                    raise
                self.failed.append(f"sockmap: stream of {size}: {str(error).splitlines()[-1]}")
                row.runs[mode].append(0.0)
                cpu.runs[mode].append(0.0)
                continue
            spent = busy_seconds(self.lab.guests) - before
            row.runs[mode].append(speed)
            cpu.runs[mode].append(spent * 1e9 / (speed * 1e6 * self.seconds / 1024))
        self.progress(f"{mode}: connections")
        self.port += 1
        flags = native.SMC if mode == "native" else ()
        server = traffic.transfer_server(self.server, port=self.port, flags=flags)
        each = traffic.repeat(self.client, self.server.ip4, 64, self.seconds, self.port, flags)
        self.connections.runs[mode].append(1e6 / each)
        server.kill()
        server.wait(10)


def run(lab: Lab, pairs: int, seconds: int, say) -> tuple[list[dict], list[str]]:
    """The rows, and what failed: a run that did is 0 in them."""
    meter = Meter(lab, seconds, say)
    for turn in range(pairs):
        for mode in MODES:
            say(f"round {turn + 1} of {pairs}, {mode}")
            meter.agents(mode)
            meter.once(mode)
    rows = [{"name": row.name, "unit": row.unit, "better": row.better, "goal": row.goal or None,
             "met": row.met(), **{mode: round(row.value(mode), 3) for mode in MODES},
             "ratios": {mode: round(row.ratio(mode), 3) for mode in MODES[1:]}, "runs": row.runs}
            for row in meter.rows()]
    return rows, meter.failed


def table(results: list[dict]) -> list[str]:
    lines = [f"{'':28} {'TCP':>9} " + " ".join(f"{mode:>9}" for mode in MODES[1:]) +
             f"  {'':5} of TCP: " + " ".join(f"{mode:>9}" for mode in MODES[1:])]
    for row in results:
        ratios = " ".join(f"{row['ratios'][mode]:>8.2f}x" for mode in MODES[1:])
        values = " ".join(f"{row[mode]:>9.1f}" for mode in MODES)
        lines.append(f"{row['name']:28} {values}  {row['unit']:5}        {ratios}")
    return lines


def warnings(results: list[dict]) -> list[str]:
    return [f"warning: {row['name']}: spliced is {row['ratios']['spliced']:.2f} of TCP; "
            f"{'at most' if row['better'] == 'less' else 'at least'} {row['goal']:g} is expected"
            for row in results if not row["met"]]
