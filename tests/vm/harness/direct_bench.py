# SPDX-License-Identifier: Apache-2.0
"""./dev bench --only direct: plain TCP, SMC-D, and TCP connections that the agents move onto rings
(docs/DIRECT.md), side by side in one run; and what a connection that is never moved pays.

Four guests: the first two have the modules and the agents, the other two never had any: what passes through
our calls cannot be unloaded.
"""

import json

from . import driver, paths
from .bench_page import Part
from .lab import Lab
from .measure import (DIRECT, LEFT, SIZES, SIZES_IN_BYTES, SMC, TCP, Meter, Row, Way, Work, cost_lines, heading, lines,
                      mebibytes, missed, pingpong, plain_stream, short, stream)

# Ratios to TCP that the direct path is to have.
GOALS = {"pingpong_64B_p50_us": 10.0, "pingpong_64B_p99_us": 3.0, "stream_plain_1KiB_MBps": 3.0,
         "stream_plain_64KiB_MBps": 3.5, "stream_plain_1MiB_MBps": 3.5, "stream_1x_1KiB_MBps": 3.0,
         "stream_1x_64KiB_MBps": 3.5, "stream_1x_1MiB_MBps": 3.5, "stream_16x_64KiB_MBps": 4.0}
NEVER_MOVED_GOAL = 0.99
GUESTS = 4
MEMBERS = 2
# What is there, and who connects to whom.
NEVER_MOVED = {"absent": (TCP, 2, 3), "loaded": (TCP, 0, 1), "agents": (LEFT, 0, 1), "third": (DIRECT, 2, 1)}


# A ring of the region that two programs copy into and out of: what no path of ours can pass by much.
USER_RING = paths.PROGRAMS / "user_ring"
RING = 1 << 20  # bytes, as the largest of the direct path
PLACE = (256 << 20) - 2 * RING  # the region's end: leases are given from its beginning
BOUND = {"stream_plain_1KiB_MBps": "1KiB", "stream_plain_64KiB_MBps": "64KiB"}
BOUND_GOAL = 0.7


def works() -> list[Work]:
    all_works = [pingpong(), *(plain_stream(size) for size in SIZES),
                 *(stream(size) for size in SIZES), stream("64KiB", 16)]
    for work in all_works:
        for row in work.rows:
            row.goals = {"direct": GOALS[row.name]} if row.name in GOALS else {}
    return all_works


def user_ring(name: str, size: str) -> Work:
    """What bounds row `name`."""
    argv = [str(paths.built(USER_RING))]
    place = [f"{driver.DEVICE}/device/resource2", str(PLACE), str(RING)]

    def serve(guest, _port):
        server = guest.spawn([*argv, "serve", *place])
        server.wait_output("listening", 30)
        return server

    def send(client, _address, _port, seconds):
        report = client.check([*argv, "send", *place, str(SIZES_IN_BYTES[size]), str(seconds)], seconds + 60)
        rate = json.loads(report)["MBps"]
        return [rate], mebibytes(rate, seconds)
    return Work(f"user-space ring, {size} writes", [Row(name, "MB/s", "more")], "MiB", serve, send)


def bounded(meter: Meter, moved: list[Row], turns: int) -> list[Row]:
    """The direct path's streams beside a ring without a kernel, in turns."""
    direct = {row.name: work for work in works() for row in work.rows}
    measured = [(user_ring(row.name, BOUND[row.name]), direct[row.name]) for row in moved if row.name in BOUND]
    for number in range(turns):
        meter.agents(DIRECT)
        for bound, work in measured:
            meter.progress(f"turn {number + 1} of {turns}, bound: {bound.what}")
            bound.rows[0].add("user_ring", meter.run(bound, "user_ring", meter.server, meter.client)[0][0])
            bound.rows[0].add("direct", meter.once(work, DIRECT)[0])
    return [bound.rows[0] for bound, _ in measured]


def never_moved(lab: Lab, meter: Meter, turns: int) -> list[Row]:
    """Plain TCP: between guests without the modules, with them, with agents that look at all connections and
    move none, and from one with an agent that moves others to a guest without.
    """
    measured = [short("64B"), pingpong(), stream("64KiB")]
    for work in measured:
        for row in work.rows:
            row.goals = {}
    for number in range(turns):
        for key in list(NEVER_MOVED)[::1 if number % 2 else -1]:
            way, server, client = NEVER_MOVED[key]
            meter.agents(way)
            for work in measured:
                meter.progress(f"turn {number + 1} of {turns}, never moved, {key}: {work.what}")
                values, _ = meter.run(work, key, lab.guests[server], lab.guests[client])
                for row, value in zip(work.rows, values):
                    row.add(key, value)
    meter.agents(TCP)
    return [row for work in measured for row in work.rows]


def run(lab: Lab, turns: int, seconds: int, say, rows_wanted: str) -> dict:
    for guest in lab.guests[:MEMBERS]:
        guest.check("modprobe ivpci && modprobe tcp_ivpci")
    meter = Meter(lab, seconds, say, MEMBERS)
    moved = meter.measure([work for work in works() if work.rows[0].name.startswith(rows_wanted)], turns)
    bounds = bounded(meter, moved, turns)
    alone = [] if rows_wanted else never_moved(lab, meter, turns)
    return {"moved": [row.report() for row in moved],
            "bounds": [row.report("user_ring") for row in bounds],
            "never_moved": [row.report("absent") for row in alone],
            "costs": meter.cost_report()}


def table(report: dict) -> list[str]:
    shown = [TCP, SMC, DIRECT]
    text = [heading(shown), *lines(report["moved"], [way.key for way in shown])]
    if report["bounds"]:
        text += ["", "bounds: a ring of user space, and the direct path beside it",
                 *lines(report["bounds"], ["user_ring", "direct"])]
    if report["never_moved"]:
        text += ["", "never moved: modules absent, loaded, with agents that look at all connections; to a third guest",
                 *lines(report["never_moved"], list(NEVER_MOVED))]
    keys = [way.key for way in shown] + (list(NEVER_MOVED) if report["never_moved"] else [])
    costs = cost_lines(report["costs"], keys)
    return [*text, *(["", f"{'':36} " + " ".join(f"{key:>12}" for key in keys)] if costs else []), *costs]


USER_RING_WAY = Way("user_ring", "user-space ring")
NEVER_MOVED_WAYS = [Way("absent", "modules absent"), Way("loaded", "modules loaded"), Way("agents", "agents look"),
                    Way("third", "to a third guest")]


def parts(report: dict) -> list[Part]:
    return [Part("Times as good as TCP", report["moved"], [TCP, SMC, DIRECT]),
            Part("Beside a ring of user space, which bounds a stream", report["bounds"], [USER_RING_WAY, DIRECT]),
            Part("Connections that are never moved", report["never_moved"], NEVER_MOVED_WAYS)]


def warnings(report: dict) -> list[str]:
    text = missed(report["moved"])
    text += [f"warning: {row['name']}: {row['ratios']['direct']['median']:.2f} of a ring of user space; "
             f"{BOUND_GOAL} or more is expected"
             for row in report["bounds"] if row["ratios"]["direct"]["median"] < BOUND_GOAL]
    for row in report["never_moved"]:
        for key in list(NEVER_MOVED)[1:]:
            ratio = row["ratios"][key]["median"]
            if ratio < NEVER_MOVED_GOAL:
                text.append(f"warning: {row['name']}: {ratio:.3f} with {key}; {NEVER_MOVED_GOAL} or more is expected")
    return text
