# SPDX-License-Identifier: Apache-2.0
"""./dev bench --only direct: plain TCP, SMC-D, and TCP connections that the agents move onto rings
(docs/DIRECT.md), side by side in one run; and what a connection that is never moved pays for the modules.
"""

from statistics import median

from .lab import Lab
from .measure import DIRECT, LEFT, SIZES, SMC, TCP, Meter, Row, Work, heading, lines, missed, pingpong, plain_stream, short, stream

# Ratios to TCP that the direct path is to have.
GOALS = {"pingpong_64B_p50_us": 10.0, "pingpong_64B_p99_us": 3.0, "stream_plain_1KiB_MBps": 3.0,
         "stream_plain_64KiB_MBps": 3.5, "stream_plain_1MiB_MBps": 3.5, "stream_1x_1KiB_MBps": 3.0,
         "stream_1x_64KiB_MBps": 3.5, "stream_1x_1MiB_MBps": 3.5, "stream_16x_64KiB_MBps": 4.0}
NEVER_MOVED_GOAL = 0.99
NEVER_MOVED = ("absent", "loaded", "agents")


def works() -> list[Work]:
    all_works = [pingpong(), *(plain_stream(size) for size in SIZES),
                 *(stream(size) for size in SIZES), stream("64KiB", 16)]
    for work in all_works:
        for row in work.rows:
            row.goals = {"direct": GOALS[row.name]} if row.name in GOALS else {}
    return all_works


def load(lab: Lab, wanted: bool) -> None:
    """The module that has requests; the one that calls pass through stays once it was loaded."""
    for guest in lab.guests:
        guest.check("modprobe tcp_ivpci" if wanted else "modprobe -r tcp_ivpci; :")


def never_moved(lab: Lab, meter: Meter, turns: int) -> list[Row]:
    """Plain TCP: without the module, with it, and with agents that look at all connections and move none."""
    measured = [short("64B"), pingpong(), stream("64KiB")]
    for work in measured:
        for row in work.rows:
            row.goals = {}
    for number in range(turns):
        for key in NEVER_MOVED[::1 if number % 2 else -1]:
            meter.agents(LEFT if key == "agents" else TCP)
            load(lab, key != "absent")
            for work in measured:
                meter.progress(f"turn {number + 1} of {turns}, never moved, {key}: {work.what}")
                for row, value in zip(work.rows, meter.once(work, LEFT if key == "agents" else TCP)):
                    row.add(key, value)
    meter.agents(TCP)
    return [row for work in measured for row in work.rows]


def run(lab: Lab, turns: int, seconds: int, say, rows_wanted: str) -> dict:
    for guest in lab.guests:
        guest.check("modprobe ivpci")
    meter = Meter(lab, seconds, say)
    moved = meter.measure([work for work in works() if work.rows[0].name.startswith(rows_wanted)], turns)
    alone = [] if rows_wanted else never_moved(lab, meter, turns)
    return {"moved": [row.report() for row in moved],
            "never_moved": [row.report("absent") for row in alone],
            "doorbells_per_MiB": {name: {way: round(median(values), 3) for way, values in by_way.items()}
                                  for name, by_way in meter.doorbells.items()}}


def table(report: dict) -> list[str]:
    shown = [TCP, SMC, DIRECT]
    text = [heading(shown), *lines(report["moved"], [way.key for way in shown])]
    rung = report["doorbells_per_MiB"]
    if rung:
        text += ["", "doorbells per MiB:"]
        text += [f"{name:24} {'':9} " + " ".join(f"{by_way[way.key]:>9.2f}" if way.key in by_way else f"{'-':>9}"
                                                 for way in shown[1:])
                 for name, by_way in rung.items()]
    if report["never_moved"]:
        text += ["", "never moved: module absent, loaded, and loaded with agents that look at all connections",
                 *lines(report["never_moved"], list(NEVER_MOVED))]
    return text


def warnings(report: dict) -> list[str]:
    text = missed(report["moved"])
    for row in report["never_moved"]:
        for key in NEVER_MOVED[1:]:
            ratio = row["ratios"][key]["median"]
            if ratio < NEVER_MOVED_GOAL:
                text.append(f"warning: {row['name']}: {ratio:.3f} with {key}; {NEVER_MOVED_GOAL} or more is expected")
    return text
