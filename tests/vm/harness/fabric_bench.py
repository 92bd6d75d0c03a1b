# SPDX-License-Identifier: Apache-2.0
"""./dev bench --only fabric: what the driver and the broker cost by themselves, without SMC where
that is possible (a DIBS client of our own, tests/kmod/dibs_client).
"""

import json
import re
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Callable

from . import dibs, many, paths, traffic
from .guest import Guest
from .lab import ADDRESSES, Lab

KIB = 1024
MIB = 1024 * KIB
REGION = "2G"
BROKER_JOINS = paths.BUILD / "tests" / "bench" / "broker_joins"

MOVE_SIZES = [16, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB]
DMBS_IN_USE = [1, 100, 4000]
COST_LIMIT = 2.0  # how many times a DMB among the most may cost what the first does
ALLOC_ROUNDS = 20000
PINGS = 3000
RUNS = 5
MEMBERS, JOIN_ROUNDS = 64, 640
IDLE = 1000  # connections, with the smallest buffers
DEFAULT_BUFFERS = 100  # connections, with what the agent sets
MEMORY_PAIRS = 3
SIDES = ("server", "client")


def size_name(size: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit}{name}"
    return f"{size}B"


def row(name: str, unit: str, runs: list[float], **more) -> dict:
    return {"name": name, "unit": unit, "value": round(median(runs), 3),
            "runs": [round(value, 3) for value in runs], **more}


def set_poll(guests: list[Guest], microseconds: int) -> None:
    for guest in guests:
        guest.check(f"echo {microseconds} >/sys/module/ivpci/parameters/poll_us")


def latency(owner: dibs.Client, writer: dibs.Client) -> list[dict]:
    """From move_data() with a signal in one guest to the handler in the other: half a round trip,
    since guests have no common clock. Once with a doorbell for every message, once with
    receivers that look on for a while as they do by default.
    """
    guests = [owner.guest, writer.guest]
    default = int(owner.guest.check("cat /sys/module/ivpci/parameters/poll_us"))
    here, there = owner.register(writer, 16 * KIB), writer.register(owner, 16 * KIB)
    # Attached, as SMC's connections have it.
    owner.ask(f"attach {there}")
    writer.ask_all(f"attach {here}", f"echo {there} {here}")
    rows = []
    for name, poll in (("doorbell_to_handler", 0), ("looking_to_handler", default)):
        set_poll(guests, poll)
        owner.ask(f"ping {here} {there} {PINGS // 10}", 120)
        before = owner.stat("doorbells_sent")
        runs = [[int(word) / 2000 for word in owner.ask(f"ping {here} {there} {PINGS}", 120).split()]
                for _ in range(RUNS)]
        rung = (owner.stat("doorbells_sent") - before) / (PINGS * RUNS)
        for at, percentile in ((1, "p50"), (2, "p99")):
            rows.append(row(f"{name}_{percentile}_us", "us", [run[at] for run in runs],
                            doorbells_per_message=round(rung, 3)))
    set_poll(guests, default)
    writer.ask_all("echo off", f"detach {here}", f"unregister {there}")
    owner.ask_all(f"detach {there}", f"unregister {here}")
    return rows


def throughput(owner: dibs.Client, writer: dibs.Client) -> list[dict]:
    """Each size beside a plain copy of that size in the same guest: what is slow for both is the
    machine's doing.
    """
    token = owner.register(writer, MIB)
    writer.ask(f"attach {token}")
    rows = []
    for size in MOVE_SIZES:
        count = max(64, min(50000, 64 * MIB // size))
        pairs = [[int(writer.ask(words, 120)) for words in
                  (f"time-move {token} {size} {count}", f"time-copy {size} {count}")]
                 for _ in range(RUNS)]
        moves = [move for move, _ in pairs]
        rows.append(row(f"move_data_{size_name(size)}_MBps", "MB/s",
                        [size * count / ns * 1000 for ns in moves],
                        ns_per_move=round(median(moves) / count, 1),
                        of_a_copy_in_ordinary_memory=round(
                            median([copy / move for move, copy in pairs]), 2)))
    writer.ask(f"detach {token}")
    owner.ask(f"unregister {token}")
    return rows


def allocator(owner: dibs.Client, writer: dibs.Client) -> list[dict]:
    """A DMB given back and another taken are two operations. The smallest DMBs: clearing a new
    one, which costs the same however many there are, is a small part.
    """
    times = {n: [] for n in DMBS_IN_USE}
    for _ in range(RUNS):  # in turn, so that what else the machine does meets all alike
        for n in DMBS_IN_USE:
            words = f"time-alloc {writer.gid} {16 * KIB} {n} {ALLOC_ROUNDS}"
            times[n].append(int(owner.ask(words, 300)))
    rows = [row(f"allocator_{n}_in_use_ops", "op/s", [2e9 * ALLOC_ROUNDS / ns for ns in times[n]])
            for n in DMBS_IN_USE]
    few, many = median(times[DMBS_IN_USE[0]]), median(times[DMBS_IN_USE[-1]])
    rows.append({"name": f"allocator_cost_{DMBS_IN_USE[-1]}_to_{DMBS_IN_USE[0]}", "unit": "x",
                 "value": round(many / few, 3), "limit": COST_LIMIT})
    return rows


def broker_joins() -> list[dict]:
    """Two regions of one broker, since a region has 63 slots at most."""
    sockets = [paths.RUN / "joins-a.sock", paths.RUN / "joins-b.sock"]
    regions = "".join(f"  r{n}: {{socket: {socket}, size: 256M, slots: {MEMBERS // 2}, vectors: 4}}\n"
                      for n, socket in enumerate(sockets))
    config = paths.RUN / "joins.yaml"
    config.write_text("regions:\n" + regions)
    with open(paths.RUN / "joins.log", "wb") as log:
        broker = subprocess.Popen([str(paths.built(paths.BROKER)), "--config", str(config),
                                   "--log-level", "error"],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not all(socket.is_socket() for socket in sockets):
            if time.monotonic() > deadline or broker.poll() is not None:
                raise RuntimeError(f"ivpci-broker: {Path(log.name).read_text().strip()}")
            time.sleep(0.01)
        argv = [str(paths.built(BROKER_JOINS)), str(MEMBERS), str(JOIN_ROUNDS), *map(str, sockets)]
        runs = [json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=120,
                                          text=True).stdout) for _ in range(RUNS)]
    finally:
        broker.terminate()
        broker.wait(10)
    return [row(f"broker_joins_up_to_{MEMBERS}_members", "1/s",
                [MEMBERS / run["filling_s"] for run in runs]),
            row(f"broker_leave_and_join_with_{MEMBERS}_members", "1/s",
                [JOIN_ROUNDS / run["rounds_s"] for run in runs])]


def kernel_memory(guest: Guest) -> int:
    """Bytes in the kernel's own objects, those of a connection among them. What the kernel merely
    keeps at hand (free pages, caches of files) is not counted: it moves by more than connections
    take.
    """
    text = guest.check("sync; echo 3 >/proc/sys/vm/drop_caches; cat /proc/meminfo")
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    return (kib["Slab"] + kib["VmallocUsed"] + kib["Percpu"]) * KIB


def dmb_bytes(guest: Guest) -> int:
    return traffic.raw_counters(guest)["ivpci"].get("ivpci0", {}).get("dmb_bytes", 0)


def settled(guests: list[Guest]) -> list[tuple[int, int]]:
    time.sleep(2)  # what is freed after a grace period
    return [(kernel_memory(guest), dmb_bytes(guest)) for guest in guests]


def connection_memory(guests: list[Guest], count: int) -> list[tuple[float, float]]:
    """KiB of kernel memory and of DMBs that each of `count` open connections takes, of the server
    and of the client.
    """
    server, client = guests
    before = settled(guests)
    held = many.start(client, server, count)
    many.expect_checked(held, count)
    during = settled(guests)
    held.kill()
    held.wait(60)
    return [tuple((new - old) / count / KIB for old, new in zip(*states))
            for states in zip(before, during)]


def start_agents(lab: Lab) -> None:
    for agent in lab.agents[:2]:
        agent.launch_ready()
    for agent in lab.agents[:2]:
        agent.wait_state("active", ADDRESSES * (len(lab.guests) - 1))


def memory(lab: Lab) -> list[dict]:
    """Kernel memory with many small buffers, TCP and SMC-D in turn; the region's with the default
    ones. Nothing is in flight: data on its way in TCP's queues would be on top of it.
    """
    guests = lab.guests[:2]
    kernel = {(way, side): [] for way in ("tcp", "smcd") for side in SIDES}
    for _ in range(MEMORY_PAIRS):
        for way in ("tcp", "smcd"):
            if way == "smcd":
                start_agents(lab)
            # A listener stays what it was when it was made.
            listener = many.serve(guests[0])
            if way == "smcd":
                dmb_default = connection_memory(guests, DEFAULT_BUFFERS)
                many.small_buffers(guests)
            before = traffic.counters(guests[1])
            connection_memory(guests, 50)  # what the first ones set up for all
            for side, (used, _) in zip(SIDES, connection_memory(guests, IDLE)):
                kernel[way, side].append(used)
            made = (traffic.counters(guests[1]) - before).client
            wanted = 50 + IDLE if way == "smcd" else 0
            if made != wanted:
                raise AssertionError(f"{made} of the connections were SMC-D, not {wanted}")
            listener.kill()
            listener.wait(60)
            if way == "smcd":
                for agent in lab.agents[:2]:
                    agent.stop()
                    # SMC keeps buffers for the next connection as long as it has the device.
                    agent.guest.check("modprobe -r ivpci")
    rows = [row(f"{way}_connection_{side}_kernel_KiB", "KiB", kernel[way, side], connections=IDLE)
            for way, side in kernel]
    return rows + [row(f"smcd_connection_{side}_dmb_KiB", "KiB", [dmb], connections=DEFAULT_BUFFERS)
                   for side, (_, dmb) in zip(SIDES, dmb_default)]


def run(lab: Lab, say: Callable[[str], None]) -> list[dict]:
    """In the lab's namespaces, guests up, agents not started: the rows of the report."""
    say("broker: members that join")
    rows = broker_joins()
    owner, writer = (dibs.Client(guest) for guest in lab.guests[:2])
    for what, measure in (("a doorbell's way to the handler", latency),
                          ("move_data by size", throughput),
                          (f"DMBs given back and taken, up to {DMBS_IN_USE[-1]} in use", allocator)):
        say(what)
        rows += measure(owner, writer)
    for client in (owner, writer):
        client.unload()
    say(f"memory of {IDLE} connections, TCP and SMC-D")
    return rows + memory(lab)


def table(rows: list[dict]) -> list[str]:
    lines = [f"{'':44} {'median':>12}"]
    for each in rows:
        notes = [f"{key.replace('_', ' ')} {value}" for key, value in each.items()
                 if key not in ("name", "unit", "value", "runs")]
        lines.append(f"{each['name']:44} {each['value']:>12,.1f} {each['unit']:5} "
                     f"{', '.join(notes)}".rstrip())
    return lines


def warnings(rows: list[dict]) -> list[str]:
    return [f"warning: {each['name']} is {each['value']:g}, at most {each['limit']:g} is expected"
            for each in rows if "limit" in each and each["value"] > each["limit"]]
