# SPDX-License-Identifier: Apache-2.0
"""./dev bench --only direct: plain TCP, SMC-D, and TCP connections that are moved onto rings
(docs/DIRECT.md), side by side in one run; and what a connection that is never moved pays for the modules.
"""

from dataclasses import dataclass, field
from statistics import median

from . import movers, traffic
from .lab import Lab
from .measure import FIRST_PORT, SIZES, Meter, Row, Work, pingpong, plain_stream, short, stream

PORTS = f"{FIRST_PORT}-{FIRST_PORT + 999}"
LOOK_MS = 200  # how often the movers look for new connections
RING_KIB = 1024
# Ratios to TCP that the issue asks for.
GOALS = {"pingpong_64B_p50_us": 10.0, "pingpong_64B_p99_us": 3.0, "stream_plain_1KiB_MBps": 3.0,
         "stream_plain_64KiB_MBps": 3.5, "stream_plain_1MiB_MBps": 3.5, "stream_1x_1KiB_MBps": 3.0,
         "stream_1x_64KiB_MBps": 3.5, "stream_1x_1MiB_MBps": 3.5, "stream_16x_64KiB_MBps": 4.0}
NEVER_MOVED_GOAL = 0.99


def works() -> list[Work]:
    return [pingpong(), *(plain_stream(size) for size in SIZES),
            *(stream(size) for size in SIZES), stream("64KiB", 16)]


def of_tcp(row: Row, value: float, tcp: float) -> float:
    """How many times better; 0: not measured."""
    if not value or not tcp:
        return 0.0
    return tcp / value if row.better == "less" else value / tcp


@dataclass
class Compared:
    row: Row  # what it is called
    runs: dict[str, list[float]] = field(default_factory=dict)  # by way; the same turns in each

    def add(self, way: str, value: float) -> None:
        self.runs.setdefault(way, []).append(value)

    def ratios(self, way: str, base: str) -> list[float]:
        """Of each turn."""
        return [of_tcp(self.row, value, tcp) for value, tcp in zip(self.runs[way], self.runs[base])]

    def report(self, base: str, goals: dict[str, float]) -> dict:
        return {"name": self.row.name, "unit": self.row.unit, "goal": goals.get(self.row.name),
                "base": base, **{way: round(median(runs), 3) for way, runs in self.runs.items()},
                "ratios": {way: {"median": round(median(self.ratios(way, base)), 3),
                                 "worst": round(min(self.ratios(way, base)), 3)}
                           for way in self.runs if way != base},
                "runs": self.runs}


class DirectMeter(Meter):
    """Ways: TCP and SMC-D as in Meter, "direct" with agents stopped and movers running."""

    def __init__(self, lab: Lab, seconds: int, progress):
        super().__init__(lab, seconds, progress)
        self.ways = ("tcp", "direct") if lab.stock() else ("tcp", "smc", "direct")
        self.doorbells: dict[str, dict[str, list[float]]] = {}  # a MiB, by stream and way

    def load(self, wanted: bool) -> None:
        """The module that has requests; the one that calls pass through stays once it was loaded."""
        for guest in self.lab.guests:
            guest.check("modprobe tcp_ivpci" if wanted else "modprobe -r tcp_ivpci; :")

    def rung(self) -> int:
        return sum(traffic.raw_counters(guest)["ivpci"]["ivpci0"]["doorbells_sent"]
                   for guest in self.lab.guests)

    def by_ring(self) -> int:
        """Bytes of connections that are over."""
        flow = movers.offload(self.client, "counters")
        return flow["ring_sent"] + flow["ring_received"]

    def turn(self, way: str, work: Work) -> list[float]:
        before, rung = self.by_ring() if way == "direct" else 0, self.rung()
        values = self.once(work, way == "smc")
        if way == "direct" and self.by_ring() == before:
            raise AssertionError(f"{work.what}: nothing went by the ring")
        row = work.rows[0]
        if row.unit == "MB/s" and way != "tcp":
            mib = values[0] * 1e6 * self.seconds / 2**20
            self.doorbells.setdefault(row.name, {}).setdefault(way, []).append((self.rung() - rung) / mib)
        return values

    def compare(self, measured: list[Work], turns: int) -> list[Compared]:
        table = {row.name: Compared(row) for work in measured for row in work.rows}
        for number in range(turns):
            for way in self.ways:
                self.agents(way == "smc")
                moving = None
                if way == "direct":
                    movers.prepare(self.lab)
                    moving = movers.Movers(self.lab, "stay", LOOK_MS, RING_KIB, PORTS)
                for work in measured:
                    self.progress(f"turn {number + 1} of {turns}, {way}: {work.what}")
                    for row, value in zip(work.rows, self.turn(way, work)):
                        table[row.name].add(way, value)
                if moving:
                    moving.finish()
                    self.load(False)
        return list(table.values())

    def never_moved(self, turns: int) -> list[Compared]:
        """Without and with the module, plain TCP both: nobody asks it for anything."""
        measured = [short("64B"), pingpong(), stream("64KiB")]
        table = {row.name: Compared(row) for work in measured for row in work.rows}
        self.agents(False)
        for number in range(turns):
            for way in ("absent", "loaded")[::1 if number % 2 else -1]:
                self.load(way == "loaded")
                for work in measured:
                    self.progress(f"turn {number + 1} of {turns}, module {way}: {work.what}")
                    for row, value in zip(work.rows, self.once(work, False)):
                        table[row.name].add(way, value)
        return list(table.values())


def run(lab: Lab, turns: int, seconds: int, say, rows_wanted: str) -> dict:
    for guest in lab.guests:
        guest.check("modprobe ivpci")
    meter = DirectMeter(lab, seconds, say)
    wanted = [work for work in works() if work.rows[0].name.startswith(rows_wanted)]
    moved = meter.compare(wanted, turns)
    alone = [] if rows_wanted else meter.never_moved(turns)
    return {"moved": [row.report("tcp", GOALS) for row in moved],
            "never_moved": [row.report("absent", {}) for row in alone],
            "doorbells_per_MiB": {name: {way: round(median(values), 3) for way, values in by_way.items()}
                                  for name, by_way in meter.doorbells.items()}}


def lines(rows: list[dict], ways: tuple[str, ...]) -> list[str]:
    text = []
    for row in rows:
        values = " ".join(f"{row[way]:>9.1f}" if way in row else f"{'-':>9}" for way in (row["base"], *ways))
        ratios = " ".join(f"{row['ratios'][way]['median']:>7.2f}x {row['ratios'][way]['worst']:>6.2f}x"
                          if way in row else f"{'-':>8} {'-':>7}" for way in ways)
        text.append(f"{row['name']:24} {values}  {row['unit']:5} {ratios}")
    return text


def table(report: dict) -> list[str]:
    ways = ("smc", "direct")
    text = [f"{'':24} {'TCP':>9} {'SMC-D':>9} {'direct':>9}  {'':5} {'SMC-D: of TCP, worst':>16} {'direct':>9}"]
    text += lines(report["moved"], ways)
    rung = report["doorbells_per_MiB"]
    if rung:
        text += ["", "doorbells per MiB:"]
        text += [f"{name:24} {'':9} " + " ".join(f"{by_way[way]:>9.2f}" if way in by_way else f"{'-':>9}"
                                                 for way in ways)
                 for name, by_way in rung.items()]
    if report["never_moved"]:
        text += ["", f"never moved: {'absent':>21} {'loaded':>9}"]
        text += lines(report["never_moved"], ("loaded",))
    return text


def warnings(report: dict) -> list[str]:
    text = []
    for row in report["moved"]:
        ratio = row["ratios"]["direct"]["median"]
        if row["goal"] and ratio < row["goal"]:
            text.append(f"warning: {row['name']}: direct is {ratio:.2f} times as good as TCP; "
                        f"{row['goal']:g} or more is expected")
    for row in report["never_moved"]:
        ratio = row["ratios"]["loaded"]["median"]
        if ratio < NEVER_MOVED_GOAL:
            text.append(f"warning: {row['name']}: {ratio:.3f} with the module loaded; "
                        f"{NEVER_MOVED_GOAL} or more is expected")
    return text
