# SPDX-License-Identifier: Apache-2.0
"""The measurements behind ./dev demo and ./dev bench: TCP, SMC-D and the direct path in turns, medians.

A turn runs each work once with the agents stopped and once with agents of each path, close together in
time, so that what else the machine does meets all alike.
"""

import json
from dataclasses import dataclass, field
from statistics import median
from typing import Callable

from . import paths, traffic
from .guest import Guest
from .lab import ADDRESSES, Lab


@dataclass
class Way:
    """What connections run over, and the agents that see to it."""

    key: str  # in JSON
    title: str
    config: str = ""  # agent.yaml; empty: the agents are stopped


# Short connections and all workloads: or what is measured would be TCP.
TCP = Way("tcp", "TCP")
SMC = Way("smc", "SMC-D", "path: smc\nworkloads: all\nshort_connections: off\n")
DIRECT = Way("direct", "direct", "path: direct\nworkloads: all\n")
# Agents that look at all connections and may move none.
LEFT = Way("left", "left alone", "path: direct\nworkloads: {cgroups: [/nobody]}\n")


def ways(lab: Lab) -> list[Way]:
    """That the guests' kernels have."""
    return [TCP, DIRECT] if lab.stock() else [TCP, SMC, DIRECT]


@dataclass
class Row:
    """One line of the table. `better` is "less" or "more"."""

    name: str
    unit: str
    better: str
    goals: dict[str, float] = field(default_factory=dict)  # ratios to TCP that are expected, by way
    runs: dict[str, list[float]] = field(default_factory=dict)  # by way; the same turns in each

    def add(self, way: str, value: float) -> None:
        self.runs.setdefault(way, []).append(value)

    def times_better(self, value: float, base: float) -> float:
        """0: not measured."""
        if not value or not base:
            return 0.0
        return base / value if self.better == "less" else value / base

    def ratios(self, way: str, base: str = "tcp") -> list[float]:
        """Of each turn."""
        return [self.times_better(value, tcp) for value, tcp in zip(self.runs[way], self.runs[base])]

    def report(self, base: str = "tcp") -> dict:
        turns = {way: self.ratios(way, base) for way in self.runs if way != base}
        return {"name": self.name, "unit": self.unit, "base": base, "goals": self.goals,
                **{way: round(median(runs), 3) for way, runs in self.runs.items()},
                "ratios": {way: {"median": round(median(ratios), 3), "worst": round(min(ratios), 3)}
                           for way, ratios in turns.items()},
                "turns": turns, "runs": self.runs}


@dataclass
class Work:
    """One program run: fills one or more rows."""

    what: str
    rows: list[Row]
    operation: str  # what costs are counted of: "message", "MiB", "connection"
    server: Callable  # (guest, port) -> Process
    run: Callable  # (client, address, port, seconds) -> list of values, one per row, and how many operations


def pingpong(size: int = 64) -> Work:
    name = f"pingpong_{size}B"
    rows = [Row(f"{name}_p50_us", "us", "less", {"smc": 3.0, "direct": 3.0} if size == 64 else {}),
            Row(f"{name}_p99_us", "us", "less")]

    def run(client, address, port, seconds):
        latency = traffic.sockperf(client, address, seconds, port, size)
        return [latency.p50, latency.p99], 2 * latency.messages
    return Work(f"sockperf ping-pong {size} B", rows, "message",
                lambda guest, port: traffic.sockperf_server(guest, guest.ip4, port), run)


SIZES_IN_BYTES = {"64B": 64, "1KiB": 1 << 10, "16KiB": 16 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20}


def short(size: str) -> Work:
    """Connections one after the other: connect, so much there and back, close."""
    row = Row(f"short_{size}_us", "us", "less")

    def run(client, address, port, seconds):
        each = traffic.repeat(client, address, SIZES_IN_BYTES[size], seconds, port)
        return [each], seconds * 1e6 / each
    return Work(f"connections of {size}", [row], "connection",
                lambda guest, port: traffic.transfer_server(guest, port=port), run)


FIRST_PORT = 12000

SIZES = {"1KiB": "1K", "64KiB": "64K", "1MiB": "1M"}


def mebibytes(rate: float, seconds: int) -> float:
    """Of a stream of `rate` MB/s."""
    return rate * 1e6 * seconds / 2**20


def stream(size: str, streams: int = 1) -> Work:
    goals = {"smc": 1.3, "direct": 1.3} if streams == 1 and size != "1KiB" else {}
    row = Row(f"stream_{streams}x_{size}_MBps", "MB/s", "more", goals)

    def run(client, address, port, seconds):
        rate = traffic.megabytes(traffic.iperf(client, address, seconds, SIZES[size], streams, port))
        return [rate], mebibytes(rate, seconds)
    return Work(f"iperf3 {streams} stream(s), {size} writes", [row], "MiB", traffic.iperf_server, run)


PLAIN = paths.PROGRAMS / "measure"


def plain_stream(size: str) -> Work:
    """A program that only writes, and one that takes all there is: iperf3 reads as little at a time as it
    writes, and asks select() before each.
    """
    row = Row(f"stream_plain_{size}_MBps", "MB/s", "more")

    def serve(guest, port):
        server = guest.spawn([str(paths.built(PLAIN)), "serve", guest.ip4, str(port)])
        server.wait_output("listening", 30)
        return server

    def run(client, address, port, seconds):
        argv = [str(paths.built(PLAIN)), "stream", address, str(port), str(SIZES_IN_BYTES[size]), str(seconds)]
        rate = json.loads(client.check(argv, seconds + 60))["MBps"]
        return [rate], mebibytes(rate, seconds)
    return Work(f"one stream, {size} writes, large reads", [row], "MiB", serve, run)


@dataclass
class Seen:
    """What was counted before or after a run."""

    client: traffic.Counters
    server: traffic.Counters
    moved: int  # connections that the client's agent has moved

    def rung(self) -> int:
        return self.client.doorbells + self.server.doorbells


class Meter:
    """Runs works from guest2 to guest1, one way after the other. `members`: guests that have agents, the first of
    the lab's.
    """

    def __init__(self, lab: Lab, seconds: int, progress: Callable[[str], None], members: int | None = None):
        self.lab = lab
        self.members = lab.agents[:members]
        self.ways = ways(lab)
        self.server, self.client = lab.guests[:2]
        self.seconds = seconds
        self.port = FIRST_PORT
        self.progress = progress
        self.running = TCP
        # After the last run: what was counted before the next one. Looking takes as long as half a short run.
        self.last: Seen | None = None
        # By way: connections that ran over it and others, as the client's kernel counted them, doorbells that both rang.
        self.proof: dict[str, dict[str, int]] = {}
        # An operation's, of both guests together: by kind, row and way.
        self.costs: dict[str, dict[str, dict[str, list[float]]]] = {}

    def agents(self, way: Way) -> None:
        """Those that `way` takes run, and no others."""
        if way.key == self.running.key:
            return
        for agent in self.members:
            if agent.process is not None and agent.process.poll() is None:
                agent.stop()
        self.running = way
        self.last = None
        if not way.config:
            return
        for agent in self.members:
            agent.guest.configure_agent(way.config)
            agent.guest.check("modprobe ivpci" + (" && modprobe tcp_ivpci" if way is not SMC else ""))
            agent.launch()
        others = len(self.members) - 1
        for agent in self.members:
            agent.wait_state("active", ADDRESSES * others)

    def look(self) -> Seen:
        moved = self.lab.agents[1].status()["offload"]["moved"] if self.running is DIRECT else 0
        return Seen(traffic.counters(self.client), traffic.counters(self.server), moved)

    def executed(self, *guests: Guest) -> int:
        """Instructions; 0 if nobody counts them."""
        return sum(guest.instructions() for guest in guests) if self.lab.plan.count_instructions else 0

    def run(self, work: Work, key: str, server: Guest, client: Guest) -> tuple[list[float], float]:
        """One run, without a look at what it went over; `key`: the way's, for what it cost. Its values, and how many
        operations they are of.
        """
        # A listener stays what it was when it was made: a new one for each run.
        # And a port of its own: sockperf does not ask for one that waits for late segments.
        self.port += 1
        self.last = None
        process = work.server(server, self.port)
        before = self.executed(server, client)
        values, operations = work.run(client, server.ip4, self.port, self.seconds)
        if executed := self.executed(server, client) - before:
            self.cost("instructions", work, key, executed / operations)
        process.kill()
        process.wait(10)
        return values, operations

    def cost(self, kind: str, work: Work, key: str, each: float) -> None:
        of_row = self.costs.setdefault(kind, {}).setdefault(f"{work.rows[0].name} ({work.operation})", {})
        of_row.setdefault(key, []).append(each)

    def cost_report(self) -> dict:
        """Medians: by kind, row and way."""
        return {kind: {row: {way: round(median(values), 3) for way, values in by_way.items()}
                       for row, by_way in by_row.items()}
                for kind, by_row in self.costs.items()}

    def once(self, work: Work, way: Way) -> list[float]:
        """One run. Fails if nothing of it went the way that was asked for, or something of TCP's another one."""
        self.agents(way)
        before = self.last or self.look()
        values, operations = self.run(work, way.key, self.server, self.client)
        after = self.last = self.look()
        made, moved, rung = after.client - before.client, after.moved - before.moved, after.rung() - before.rung()
        proof = self.proof.setdefault(way.key, {"connections": 0, "others": 0, "doorbells": 0})
        over = made.client if way is SMC else moved if way is DIRECT else made.tcp_opens - made.client
        proof["connections"] += over
        proof["others"] += made.tcp_opens - over
        proof["doorbells"] += rung
        if not over or (way is not SMC and made.client):
            raise AssertionError(f"{work.what}: {over} of {made.tcp_opens} connections went over {way.title}, {made.client} over SMC-D")
        if way in (SMC, DIRECT):
            self.cost("doorbells", work, way.key, rung / operations)
        return values

    def measure(self, works: list[Work], turns: int) -> list[Row]:
        for turn in range(turns):
            # to and fro: what drifts meets all alike, and half the agents go on running
            for way in self.ways[::-1 if turn % 2 else 1]:
                for work in works:
                    self.progress(f"turn {turn + 1} of {turns}, {way.title}: {work.what}")
                    for row, value in zip(work.rows, self.once(work, way)):
                        row.add(way.key, value)
        self.agents(TCP)
        return [row for work in works for row in work.rows]


def heading(ways_shown: list[Way]) -> str:
    return (f"{'':24} " + " ".join(f"{way.title:>9}" for way in ways_shown) + f"  {'':5} "
            + " ".join(f"{way.title + ': of TCP, worst':>23}" for way in ways_shown[1:]))


def lines(rows: list[dict], keys: list[str]) -> list[str]:
    """Of Row.report(); `keys`: of ways, the first is what the others are compared with."""
    text = []
    for row in rows:
        values = " ".join(f"{row[key]:>9.1f}" if key in row else f"{'-':>9}" for key in keys)
        ratios = " ".join(f"{row['ratios'][key]['median']:>14.2f}x {row['ratios'][key]['worst']:>6.2f}x"
                          if key in row else f"{'-':>15} {'-':>7}" for key in keys[1:])
        text.append(f"{row['name']:24} {values}  {row['unit']:5} {ratios}")
    return text


def cost_lines(costs: dict, keys: list[str]) -> list[str]:
    """Of Meter.cost_report(): a table for each kind."""
    text = []
    for kind, by_row in costs.items():
        text += ["", f"{kind} of each, both guests together:"]
        text += [f"{name:36} " + " ".join(f"{by_way[key]:>12,.2f}" if key in by_way else f"{'-':>12}" for key in keys)
                 for name, by_way in by_row.items()]
    return text


def missed(rows: list[dict]) -> list[str]:
    return [f"warning: {row['name']}: {key} is {row['ratios'][key]['median']:.2f} times as good as TCP; {goal:g} or more is expected"
            for row in rows for key, goal in row["goals"].items()
            if key in row["ratios"] and row["ratios"][key]["median"] < goal]
