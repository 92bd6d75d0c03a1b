# SPDX-License-Identifier: Apache-2.0
"""./dev demo and ./dev bench: two guests, plain TCP against SMC-D, one table with proof; and the
frame of the other measurements, fabric_bench.py.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median

from . import arguments, direct_bench, fabric_bench, namespaces, qemu, splice, splice_bench, supervisor, traffic
from .lab import Lab, Plan
from .measure import SIZES_IN_BYTES, Meter, Row, Work, pingpong, short, stream

EPILOG = """examples:
  ./dev {word}
  ./dev {word} --json result.json
  ./dev {word} --keep               leaves the guests up: ./dev vm shell guest1
  ./dev demo --kernel 6.1           Debian 12's own kernel; builds none

Each work runs in pairs, TCP (agents stopped) and SMC-D (agents running); the table has
medians. The programs are Debian's sockperf and iperf3, unchanged, from guest2 to guest1."""

BENCH_EPILOG = """
  ./dev bench --only fabric         driver and broker by themselves: doorbells, moves,
                                    allocations, joins, memory per connection
  ./dev bench --only direct         plain TCP, SMC-D, and TCP moved onto rings (docs/DIRECT.md)
  ./dev bench --only splice         plain TCP, relayed and native on Debian 12's own 6.1
  ./dev bench --only end-to-end     TCP against SMC-D (the default)"""

KINDS = ["end-to-end", "direct", "fabric", "splice"]
NOTE = ("this kernel has no IPPROTO_SMC: the agents make the programs' connections, and the "
        "kernel carries on what is not short")

# Of agents: or short connections would be TCP after the first ones.
ALL = "workloads: all\nshort_connections: off\n"

# pairs, seconds of each run
LENGTH = {"demo": (3, 3), "bench": (7, 10)}


def works(word: str) -> list[Work]:
    if word == "demo":
        return [pingpong(), stream("64KiB"), stream("1MiB")]
    return [pingpong(), pingpong(1024), stream("1KiB"), stream("64KiB"), stream("1MiB"),
            stream("64KiB", 4), stream("64KiB", 16), *map(short, SIZES_IN_BYTES)]


def qemu_version() -> str:
    run = subprocess.run([qemu.BINARY, "--version"], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[0].removeprefix("QEMU emulator version ")


def rows_as_json(rows: list[Row]) -> list[dict]:
    return [{"name": row.name, "unit": row.unit, "tcp": round(median(row.tcp), 3),
             "smc": round(median(row.smc), 3), "ratio": round(row.ratio(), 3),
             "goal": row.goal or None, "runs": {"tcp": row.tcp, "smc": row.smc}} for row in rows]


def frame(lab: Lab) -> dict:
    """What every report begins with."""
    return {"kernel": lab.guests[0].channel.hello["kernel"], "qemu": qemu_version(),
            "accel": lab.accel, "cpus": lab.plan.cpus}


def run(lab: Lab, word: str, kind: str, pairs: int, seconds: int, say, rows_wanted: str = "") -> dict:
    """In the lab's namespaces, guests up and agents not started: measures; the report."""
    if kind == "fabric":
        return {**frame(lab), "results": fabric_bench.run(lab, say)}
    if kind == "direct":
        for guest in lab.guests:
            guest.configure_agent(ALL)
        return {**frame(lab), **direct_bench.run(lab, pairs, seconds, say, rows_wanted)}
    if kind == "splice":
        rows, failed = splice_bench.run(lab, pairs, seconds, say)
        return {**frame(lab), "results": rows, "failed": failed}
    if word == "bench":
        for guest in lab.guests:
            guest.configure_agent(ALL)
    if lab.stock():
        for guest in lab.guests:
            splice.configure(guest, splice_bench.PORTS)
    measured = [work for work in works(word) if work.rows[0].name.startswith(rows_wanted)]
    if lab.stock():  # a relay's goals
        for row in (row for work in measured for row in work.rows if row.goal):
            row.goal = round(1 / splice_bench.LATENCY_GOAL, 2) if row.better == "less" else \
                splice_bench.THROUGHPUT_GOAL
    meter = Meter(lab, seconds, say)
    rows = meter.measure(measured, pairs)
    ivpci = traffic.raw_counters(lab.guests[1])["ivpci"]
    return {
        **frame(lab),
        "results": rows_as_json(rows),
        "flows": meter.steered,
        "flows_without_agents": meter.plain,
        "note": NOTE if lab.stock() else "",
        "how": [meter.how[True], meter.how[False]],
        "ivpci": ivpci["ivpci0"],
    }


def machine(report: dict) -> str:
    return (f"guests of {report['cpus']} CPU(s) on {report['accel'].upper()}, "
            f"kernel {report['kernel']}, QEMU {report['qemu']}")


def table(report: dict) -> str:
    lines = [f"{'':28} {'TCP':>10} {'SMC-D':>10}  {'':5} {'ratio':>6}"]
    for row in report["results"]:
        lines.append(f"{row['name']:28} {row['tcp']:>10.1f} {row['smc']:>10.1f}  "
                     f"{row['unit']:5} {row['ratio']:>5.1f}x")
    flows, plain, ivpci = report["flows"], report["flows_without_agents"], report["ivpci"]
    lines += [
        "",
        f"connections {report['how'][0]}: {flows['smcd']} over SMC-D, {flows['tcp']} over TCP; "
        f"{report['how'][1]}: {plain['smcd']} and {plain['tcp']}",
        f"ivpci of guest2: {ivpci['bytes_sent']} bytes, {ivpci['signals_sent']} notifications, "
        f"{ivpci['doorbells_sent']} doorbells rung, {ivpci['doorbells_skipped']} not needed",
        machine(report),
        *([report["note"]] if report["note"] else []),
    ]
    return "\n".join(lines)


def warnings(report: dict) -> list[str]:
    return [f"warning: {row['name']}: SMC-D is {row['ratio']:.2f} times as good as TCP; "
            f"{row['goal']:g} or more is expected"
            for row in report["results"] if row["goal"] and row["ratio"] < row["goal"]]


def main() -> int:
    """The first argument is the word after ./dev: demo or bench."""
    word = sys.argv.pop(1)
    pairs, seconds = LENGTH[word]
    parser = arguments.Parser(prog=f"./dev {word}", description="TCP against SMC-D.",
                              epilog=EPILOG.format(word=word) if word == "demo" else
                              EPILOG.format(word=word) + BENCH_EPILOG)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    if word == "bench":
        parser.add_argument("--only", choices=KINDS, default=KINDS[0], metavar="WHAT",
                            help=" or ".join(KINDS))
        parser.add_argument("--rows", default="", metavar="BEGINNING",
                            help="of end-to-end and direct: only works whose first row's name begins so "
                            "(pingpong_64B, stream_1x)")
    parser.add_argument("--kernel", choices=["guest", "6.1"], default="guest", metavar="WHICH",
                        help="6.1: Debian 12's own; builds no kernel. What is not over TCP is what the agents "
                        "relay, and with --only direct what is moved")
    parser.add_argument("--keep", action="store_true", help="leave the guests up")
    parser.add_argument("--guests", type=arguments.number(2, 16), default=2, metavar="N")
    parser.add_argument("--pairs", type=arguments.number(1, 100), default=pairs, metavar="N")
    parser.add_argument("--seconds", type=arguments.number(1, 600), default=seconds, metavar="N",
                        help=f"of each run (default {seconds})")
    parser.add_argument("--cpus", type=arguments.number(1, 16), metavar="N",
                        help="of each guest (default 1 or 2, so that this machine has them)")
    options = parser.parse_args()
    # More virtual CPUs than real ones would measure this machine's scheduler.
    cpus = options.cpus or min(max(os.cpu_count() // options.guests, 1), 2)
    if options.json and not os.access(options.json.absolute().parent, os.W_OK):
        parser.error(f"--json: {options.json.absolute().parent} is not a directory to write in")
    namespaces.require_root()
    if options.keep and supervisor.is_up():
        sys.exit(f"./dev {word}: guests are up already: ./dev vm down first")
    kind = getattr(options, "only", KINDS[0])
    rows = getattr(options, "rows", "")
    every = direct_bench.works() if kind == "direct" else works(word)
    if not any(work.rows[0].name.startswith(rows) for work in every):
        parser.error(f"--rows: no row's name begins with '{rows}'; there are "
                     f"{', '.join(work.rows[0].name for work in every)}")
    job = {"word": word, "kind": kind, "pairs": options.pairs, "seconds": options.seconds,
           "rows_wanted": rows}
    # Hundreds of connections with 1 MiB of buffers each way.
    size = fabric_bench.REGION if kind == "fabric" else Plan.size
    stock = getattr(options, "kernel", "guest") == "6.1" or kind == "splice"
    plan = Plan(guests=options.guests, cpus=cpus, size=size,
                kernels=["stock"] * options.guests if stock else [])
    answer = supervisor.launch({"plan": asdict(plan), "agent": False, "job": job,
                                "keep": options.keep})
    if answer is None:
        return 1
    report = answer["report"]
    if kind == "fabric":
        lines = [*fabric_bench.table(report["results"]), "", machine(report),
                 *fabric_bench.warnings(report["results"])]
    elif kind == "direct":
        lines = [*direct_bench.table(report), "", machine(report), *direct_bench.warnings(report)]
    elif kind == "splice":
        lines = [*splice_bench.table(report["results"]), "", *report["failed"], machine(report),
                 *splice_bench.warnings(report["results"])]
    else:
        lines = [table(report), *warnings(report)]
    print("\n" + "\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.keep:
        print("the guests stay up: ./dev vm shell guest1, ./dev vm shell guest2, ./dev vm down")
    return 0
