# SPDX-License-Identifier: Apache-2.0
"""./dev demo and ./dev bench: two guests, plain TCP against the direct path and SMC-D, one table with proof; and
the frame of the other measurements, fabric_bench.py.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from . import arguments, bench_page, direct_bench, fabric_bench, namespaces, qemu, supervisor
from .lab import Lab, Plan
from .measure import DIRECT, SIZES_IN_BYTES, SMC, TCP, Meter, Way, Work, cost_lines, heading, lines, missed, pingpong, short, stream

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
  ./dev bench --only direct         the direct path: more rows, and connections that are never moved
  ./dev bench --only end-to-end     TCP, SMC-D, direct (the default)
  ./dev bench --quick --html bench.html
                                    some four minutes, and a page with a picture of all turns
  ./dev bench --instructions        and how many instructions the guests execute for each message,
                                    MiB and connection: the same number on any machine"""

KINDS = ["end-to-end", "direct", "fabric"]
# pairs, seconds of each run
LENGTH = {"demo": (3, 2), "quick": (5, 2), "bench": (7, 10)}


def works(word: str) -> list[Work]:
    if word in ("demo", "quick"):
        return [pingpong(), stream("64KiB"), stream("1MiB")]
    return [pingpong(), pingpong(1024), stream("1KiB"), stream("64KiB"), stream("1MiB"),
            stream("64KiB", 4), stream("64KiB", 16), *map(short, SIZES_IN_BYTES)]


def qemu_version() -> str:
    run = subprocess.run([qemu.BINARY, "--version"], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[0].removeprefix("QEMU emulator version ")


def frame(lab: Lab) -> dict:
    """What every report begins with."""
    return {"kernel": lab.guests[0].channel.hello["kernel"], "qemu": qemu_version(),
            "accel": lab.accel, "cpus": lab.plan.cpus}


def run(lab: Lab, word: str, kind: str, pairs: int, seconds: int, say, rows_wanted: str = "") -> dict:
    """In the lab's namespaces, guests up and agents not started: measures; the report."""
    if kind == "fabric":
        return {**frame(lab), "results": fabric_bench.run(lab, say)}
    if kind == "direct":
        return {**frame(lab), **direct_bench.run(lab, pairs, seconds, say, rows_wanted)}
    measured = [work for work in works(word) if work.rows[0].name.startswith(rows_wanted)]
    meter = Meter(lab, seconds, say)
    rows = meter.measure(measured, pairs)
    return {
        **frame(lab),
        "ways": [asdict(way) for way in meter.ways],
        "results": [row.report() for row in rows],
        "proof": meter.proof,
        "costs": meter.cost_report(),
    }


def machine(report: dict) -> str:
    return (f"guests of {report['cpus']} CPU(s) on {report['accel'].upper()}, "
            f"kernel {report['kernel']}, QEMU {report['qemu']}")


def table(report: dict) -> str:
    shown = [Way(**way) for way in report["ways"]]
    text = [heading(shown), *lines(report["results"], [way.key for way in shown]), ""]
    for way in shown:
        proof = report["proof"][way.key]
        text.append(f"{way.title}: {proof['connections']} of {proof['connections'] + proof['others']} connections ran over it; "
                    f"{proof['doorbells']} doorbells")
    if SMC.key not in report["proof"]:
        text.append("this kernel makes no SMC sockets of ours; './dev setup' builds one that does (half an hour)")
    if report["costs"].get("instructions"):
        text += cost_lines(report["costs"], [way.key for way in shown])
    return "\n".join([*text, machine(report)])


def page(report: dict, kind: str) -> str:
    """What --html writes."""
    if kind == "direct":
        shown, ways = direct_bench.parts(report), [TCP, SMC, DIRECT, *direct_bench.NEVER_MOVED_WAYS]
    else:
        ways = [Way(**way) for way in report["ways"]]
        shown = [bench_page.Part("Times as good as TCP", report["results"], ways)]
    return bench_page.page(shown, report["costs"], ways, machine(report))


def check_files(parser: arguments.Parser, options) -> None:
    for flag in ("json", "html"):
        file = getattr(options, flag, None)
        if file and not os.access(file.absolute().parent, os.W_OK):
            parser.error(f"--{flag}: {file.absolute().parent} is not a directory to write in")


def main() -> int:
    """The first argument is the word after ./dev: demo or bench."""
    word = sys.argv.pop(1)
    parser = arguments.Parser(prog=f"./dev {word}", description="TCP against shared memory.",
                              epilog=EPILOG.format(word=word) if word == "demo" else
                              EPILOG.format(word=word) + BENCH_EPILOG)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    if word == "bench":
        parser.add_argument("--only", choices=KINDS, default=KINDS[0], metavar="WHAT",
                            help=" or ".join(KINDS))
        parser.add_argument("--rows", default="", metavar="BEGINNING",
                            help="of end-to-end and direct: only works whose first row's name begins so "
                            "(pingpong_64B, stream_1x)")
        parser.add_argument("--html", type=Path, metavar="FILE",
                            help="write a page with a picture of all turns there, which opens without a network")
        parser.add_argument("--quick", action="store_true", help="the demo's rows, five pairs of two seconds: some four minutes")
        parser.add_argument("--instructions", action="store_true",
                            help="count those of the guests (QEMU's TCG only; guests of one CPU)")
    parser.add_argument("--kernel", choices=["guest", "6.1"], default="guest", metavar="WHICH",
                        help="guest: the one that is built here, with SMC-D; 6.1: Debian 12's own, TCP and direct. "
                        "The demo takes the former if it is built")
    parser.add_argument("--keep", action="store_true", help="leave the guests up")
    parser.add_argument("--guests", type=arguments.number(2, 16), default=2, metavar="N")
    parser.add_argument("--pairs", type=arguments.number(1, 100), metavar="N", help=f"default {LENGTH[word][0]}")
    parser.add_argument("--seconds", type=arguments.number(1, 600), metavar="N",
                        help=f"of each run (default {LENGTH[word][1]})")
    parser.add_argument("--cpus", type=arguments.number(1, 16), metavar="N",
                        help="of each guest (default 1 or 2, so that this machine has them)")
    options = parser.parse_args()
    count = getattr(options, "instructions", False)
    if count and options.cpus not in (None, 1):
        parser.error("--instructions: exact for guests of one CPU only: leave --cpus out")
    # More virtual CPUs than real ones would measure this machine's scheduler.
    cpus = 1 if count else options.cpus or min(max(os.cpu_count() // options.guests, 1), 2)
    check_files(parser, options)
    kind = getattr(options, "only", KINDS[0])
    html = getattr(options, "html", None)
    quick = getattr(options, "quick", False)
    if quick and kind != KINDS[0]:
        parser.error(f"--quick: of {KINDS[0]} only: leave --only out")
    rows_of = "quick" if quick else word
    pairs, seconds = options.pairs or LENGTH[rows_of][0], options.seconds or LENGTH[rows_of][1]
    if html and kind == "fabric":
        parser.error("--html: fabric has no turns to draw: leave one of the two out")
    rows = getattr(options, "rows", "")
    every = direct_bench.works() if kind == "direct" else works(rows_of)
    if not any(work.rows[0].name.startswith(rows) for work in every):
        parser.error(f"--rows: no row's name begins with '{rows}'; there are "
                     f"{', '.join(work.rows[0].name for work in every)}")
    arguments.end_if_only_asked()
    namespaces.require_root()
    if options.keep and supervisor.is_up():
        sys.exit(f"./dev {word}: guests are up already: ./dev vm down first")
    job = {"word": rows_of, "kind": kind, "pairs": pairs, "seconds": seconds, "rows_wanted": rows}
    # Hundreds of connections with 1 MiB of buffers each way.
    size = fabric_bench.REGION if kind == "fabric" else Plan.size
    stock = getattr(options, "kernel", "guest") == "6.1"
    plan = Plan(guests=direct_bench.GUESTS if kind == "direct" else options.guests, cpus=cpus, size=size,
                count_instructions=count, kernels=["stock"] * options.guests if stock else [])
    answer = supervisor.launch({"plan": asdict(plan), "agent": False, "job": job,
                                "keep": options.keep})
    if answer is None:
        return 1
    report = answer["report"]
    if kind == "fabric":
        text = [*fabric_bench.table(report["results"]), "", machine(report),
                *fabric_bench.warnings(report["results"])]
    elif kind == "direct":
        text = [*direct_bench.table(report), "", machine(report), *direct_bench.warnings(report)]
    else:
        text = [table(report), *missed(report["results"])]
    print("\n" + "\n".join(text))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if html:
        html.write_text(page(report, kind))
    if options.keep:
        print("the guests stay up: ./dev vm shell guest1, ./dev vm shell guest2, ./dev vm down")
    return 0
