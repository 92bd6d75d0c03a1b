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

from . import dibs, paths, traffic
from .guest import Guest
from .lab import ADDRESSES, Lab

KIB = 1024
MIB = 1024 * KIB
REGION = "2G"
BROKER_JOINS = paths.BUILD / "tests" / "bench" / "broker_joins"
STRESS = paths.PROGRAMS / "stress"

MOVE_SIZES = [16, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB]
DMBS_IN_USE = [1, 100, 4000]
COST_LIMIT = 2.0  # how many times a DMB among the most may cost what the first does
ALLOC_ROUNDS = 20000
PINGS = 3000
RUNS = 5
MEMBERS, JOIN_ROUNDS = 64, 640
IDLE, ACTIVE = 200, 40  # connections
ACTIVE_SECONDS = 8


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
    token = owner.register(writer, MIB)
    writer.ask(f"attach {token}")
    rows = []
    for size in MOVE_SIZES:
        count = max(64, min(50000, 64 * MIB // size))
        times = [int(writer.ask(f"time-move {token} {size} {count}", 120)) for _ in range(RUNS)]
        rows.append(row(f"move_data_{size_name(size)}_MBps", "MB/s",
                        [size * count / ns * 1000 for ns in times],
                        ns_per_move=round(median(times) / count, 1)))
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
    """Bytes the guest's kernel has for itself, its programs' stacks and page tables left out."""
    text = guest.check("echo 2 >/proc/sys/vm/drop_caches; cat /proc/meminfo")
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    programs = sum(kib[name] for name in ("MemFree", "Buffers", "Cached", "AnonPages",
                                          "KernelStack", "PageTables"))
    return (kib["MemTotal"] - programs) * KIB


def settled_memory(guests: list[Guest]) -> list[int]:
    time.sleep(2)  # what is freed after a grace period
    return [kernel_memory(guest) for guest in guests]


def dmb_bytes(guests: list[Guest]) -> list[int]:
    devices = [traffic.raw_counters(guest)["ivpci"].get("ivpci0", {}) for guest in guests]
    return [device.get("dmb_bytes", 0) for device in devices]


def connection_memory(guests: list[Guest], way: str, count: int, what: str,
                      start: Callable) -> list[dict]:
    """What `count` connections take while `start`'s program has them."""
    before, dmbs_before = settled_memory(guests), dmb_bytes(guests)
    process = start()
    during, dmbs_during = settled_memory(guests), dmb_bytes(guests)
    process.kill()
    process.wait(30)
    rows = []
    for side, old, new, dmb_old, dmb_new in zip(("server", "client"), before, during, dmbs_before,
                                                dmbs_during):
        rows.append(row(f"{way}_{what}_connection_{side}_kernel_KiB", "KiB",
                        [(new - old) / count / KIB], connections=count))
        if way == "smcd":
            rows.append(row(f"{way}_{what}_connection_{side}_dmb_KiB", "KiB",
                            [(dmb_new - dmb_old) / count / KIB], connections=count))
    return rows


def memory(lab: Lab) -> list[dict]:
    """Of idle and busy connections; TCP first, then SMC-D, whose buffers are in the region."""
    server, client = guests = lab.guests[:2]
    rows = []
    for way in ("tcp", "smcd"):
        if way == "smcd":
            for agent in lab.agents[:2]:
                agent.launch_ready()
            for agent in lab.agents[:2]:
                agent.wait_state("active", ADDRESSES * (len(lab.guests) - 1))
        listener = traffic.transfer_server(server, port=9300)
        busy = server.spawn([str(paths.built(STRESS)), "serve", "9301"])
        busy.wait_output("listening", 20)
        before = traffic.counters(client)
        traffic.transfer(client, server.ip4, 1 << 16, port=9300)  # what the first one sets up
        rows += connection_memory(guests, way, IDLE, "idle",
                                  lambda: traffic.hold(client, server.ip4, IDLE, 9300, 120))
        argv = [str(STRESS), "run", server.ip4, "9301", str(ACTIVE), str(ACTIVE_SECONDS + 60),
                "60000"]

        def start_busy(argv=argv):
            process = client.spawn(argv)
            time.sleep(ACTIVE_SECONDS)
            return process
        rows += connection_memory(guests, way, ACTIVE, "busy", start_busy)
        made = (traffic.counters(client) - before).client
        wanted = 1 + IDLE + ACTIVE if way == "smcd" else 0
        if made != wanted:
            raise AssertionError(f"{made} of the connections were SMC-D, not {wanted}")
        listener.kill()
        busy.kill()
    return rows


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
    say(f"memory of {IDLE} idle and {ACTIVE} busy connections, TCP and SMC-D")
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
