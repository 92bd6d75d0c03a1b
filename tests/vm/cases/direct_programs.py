# SPDX-License-Identifier: Apache-2.0
"""Programs whose connections are moved onto rings and back while they work (docs/DIRECT.md)."""

import json
import time

from harness import driver, movers, paths, servers
from harness.case import case, expect, expect_equal

ODD = paths.PROGRAMS / "odd"
ODD_PORT = 9700


@case("direct", "direct-odd", append=driver.UNAIDED, agent=False, cpus=2, timeout=150, long_timeout=900)
def direct_odd(lab):
    """All the ways to send and receive that programs seldom take (splice, zero copy, io_uring, memory that is not there
    yet, corks, kTLS asked for and TCP_REPAIR in the midst), while connections are moved at random: every byte is right.
    """
    server, client = lab.guests
    movers.prepare(lab)
    for guest in lab.guests:
        guest.check("modprobe tls")
    listener = server.spawn([str(paths.built(ODD)), "serve", str(ODD_PORT)])
    listener.wait_output("listening", 20)
    moving = movers.Movers(lab, "random", 5, 64, f"{ODD_PORT}-{ODD_PORT}")
    seconds = 600 if lab.long else round(10 * paths.SLOW)
    running = client.spawn([str(paths.built(ODD)), "run", server.ip4, str(ODD_PORT), "2" if paths.CHECKED else "6", str(seconds)])
    code = running.wait(seconds + 90)
    listener.poll()
    expect_equal(code, 0, f"exit code of odd ({running.err}; the server: {listener.err})")
    told = json.loads(running.out)
    lab.progress(json.dumps(told))
    counts = moving.finish()
    expect(all(told["sent"].values()) and all(told["received"].values()) or not lab.long, f"ways that nobody took: {told}")
    for guest, count in zip(lab.guests, counts):
        expect(count["ring_sent"] > 1 << 14 and count["tcp_sent"] > 1 << 14, f"{guest.name}: one way only: {count}")
        expect_equal(count["lies"], 0, f"{guest.name}: lies")


@case("direct", "direct-programs", append=driver.UNAIDED, agent=False, timeout=200, long_timeout=900)
def direct_programs(lab):
    """redis, nginx and PostgreSQL, whose clients work meanwhile: all connections are moved, and their rings given back,
    again and again (a hundred times in the long form), and each answer is right.
    """
    server, client = lab.guests
    movers.prepare(lab)
    started = [make(server) for make in servers.ALL]
    ports = [each.port for each in started]
    moving = movers.Movers(lab, "toggle", 50, 256, f"{min(ports)}-{max(ports)}")
    began = time.monotonic()
    rounds = 0
    while time.monotonic() - began < (300 if lab.long else 8):
        for each in started:
            each.ask(client, server.ip4)
        rounds += 1
    counts = moving.finish()
    lab.progress(f"{rounds} rounds, {counts[1]['made']} pairs of rings made at the clients' end")
    expect(counts[1]["made"] >= (100 if lab.long else 5), f"hardly moved any: {counts[1]}")
    expect(counts[0]["ring_sent"] > 1 << 14, f"the servers sent hardly anything by rings: {counts[0]}")
    for guest, count in zip(lab.guests, counts):
        expect_equal(count["lies"], 0, f"{guest.name}: lies")
    for each in started:
        expect(each.process.poll() is None, f"{each.name} ended: {each.process.err}")
