# SPDX-License-Identifier: Apache-2.0
"""tcp_ivpci: calls of programs that pass through it are TCP's, whenever it is attached and detached."""

import json
import signal
import time

from harness import dawdle, driver, many, movers, paths, semantics, stress, traffic
from harness.case import SLOW, case, expect, expect_equal, wait_until
from harness.movers import Movers, offload, prepare

OFFLOAD = movers.OFFLOAD
ALL = "9000-9899"  # the ports of transfer, stress and semantics; the puppet's 9300 among them


def start(guest, *argv: str):
    running = guest.spawn([str(paths.built(OFFLOAD)), *argv])
    running.wait_output("running", 20)
    return running


def finish(lab, guest, running) -> dict:
    running.signal(signal.SIGTERM)
    expect_equal(running.wait(20), 0, f"exit code of offload ({running.err})")
    told = json.loads(running.out.splitlines()[-1])
    lab.progress(f"{guest.name}: {json.dumps(told)}")
    return told


def rows(lab, plain: dict) -> None:
    """No row differs while every connection of either end is attached to and detached from each
    millisecond.
    """
    server, client = lab.guests
    loops = [start(guest, "loop", "1", "1", semantics.PORTS) for guest in lab.guests]
    began = time.monotonic()
    other = semantics.run(client, server)
    found = semantics.differences(plain, other)
    lab.progress(f"attached: {len(other)} rows in {time.monotonic() - began:.1f} s, {len(found)} differ")
    if found:
        # what a busy machine did once is no property of these sockets
        lab.progress("\n".join(f"{name}: {cells}: {other[name].reason}" for name, cells in found.items()))
        other = {**other, **semantics.run(client, server, only=semantics.filter_of(found))}
        found = semantics.differences(plain, other)
    counts = [finish(lab, guest, loop) for guest, loop in zip(lab.guests, loops)]
    semantics.keep(other, lab.logs / "semantics.attached")
    expect(not found, "rows that differ:\n" + "\n".join(
        f"{name}: {' | '.join(cells)} {other[name].reason if name in other else ''}"
        for name, cells in found.items()))
    for guest, count in zip(lab.guests, counts):
        expect(count["attached"] > len(plain) // 4, f"{guest.name}: hardly attached to any: {count}")


def bytes_right(lab, seconds: int) -> None:
    """Every byte is right and nothing stands still, attached to and detached from at random at both ends, with
    threads that take their time on the way into TCP.
    """
    server, client = lab.guests
    listener = stress.serve(server)
    traffic.transfer_server(server)
    slow = [dawdle.start(guest, "stress") for guest in lab.guests]
    dawdle.wait(slow)
    loops = [start(guest, "random", "2", ALL) for guest in lab.guests]
    running = stress.start(client, server, 12, seconds, 30000)
    traffic.transfer(client, server.ip4, 16 << 20)
    report = stress.finish(running, seconds + 60, listener)
    for guest, loop in zip(lab.guests, loops):
        finish(lab, guest, loop)
    for each in slow:
        expect(dawdle.finish(each) > 0, "nobody was slow on the way into TCP")
    lab.progress(f"{report['bytes'] >> 20} MiB right")
    listener.kill()


def becomes_clean(lab) -> None:
    """Both directions of connections at work do. Of one with a reader asleep in TCP since before: the
    sending one at once, the receiving one when something comes.
    """
    server, client = lab.guests
    listener = stress.serve(server)
    running = stress.start(client, server, 4, 6, 30000)
    # again and again: a thread may have a socket's lock at that moment
    now = wait_until(lambda: offload(client, "attach", f"{stress.PORT}-{stress.PORT}")["now"],
                     lambda now: now["clean_receiving"] == 4, 5, "connections at work that are clean")
    expect_equal(now, {"attached": 4, "clean_sending": 4, "clean_receiving": 4, "moved": 0}, "connections at work")
    stress.finish(running, 60, listener)
    listener.kill()

    silent = client.spawn(["python3", "-Sc", f"""
import socket, sys
listener = socket.create_server(('127.0.0.1', 9801))
sender = socket.create_connection(('127.0.0.1', 9801))
reader, _ = listener.accept()
import threading
def read():
    print(reader.recv(5, socket.MSG_WAITALL).decode(), flush=True)
thread = threading.Thread(target=read)
thread.start()
print('asleep', flush=True)
for line in sys.stdin:
    sender.send(line.strip().encode())
"""])
    silent.wait_output("asleep", 20)
    time.sleep(0.3)
    offload(client, "attach", "9801-9801")
    time.sleep(1.5)
    expect_equal(offload(client, "look", "9801-9801")["now"],
                 {"attached": 2, "clean_sending": 2, "clean_receiving": 1, "moved": 0}, "a silent connection")
    silent.kill()


def unloaded(lab, seconds: int) -> None:
    """The module goes under ten transfers and forty other connections, at work and asleep, all attached to: within two
    seconds, and all go on. Loaded again, it attaches to them again.
    """
    server, client = lab.guests
    listener = stress.serve(server)
    traffic.transfer_server(server, port=9001)
    running = stress.start(client, server, 20, 4 * seconds, 30000)
    transfers = [client.spawn(traffic.transfer_argv(server.ip4, (32 if lab.long else 8) << 20, 9001)) for _ in range(10)]
    held = traffic.hold(client, server.ip4, 20, 9001)
    for _ in range(seconds):
        for guest in lab.guests:
            expect(offload(guest, "attach", ALL)["now"]["attached"] >= 20, "hardly attached to any")
        time.sleep(0.5)
        for guest in lab.guests:
            took = offload(guest, "unload")["ms"]
            guest.check("modprobe tcp_ivpci")
            lab.progress(f"{guest.name}: unloaded in {took} ms")
            expect(took < 2000 * SLOW, f"to unload took {took} ms")
            expect_equal(offload(guest, "look", ALL)["now"]["attached"], 0, "attached to after rmmod")
    for each in transfers:
        expect_equal(each.wait(120), 0, f"exit code of a transfer ({each.out + each.err})")
    stress.finish(running, 60 + 4 * seconds, listener)
    expect_equal(held.poll(), None, "exit code of idle connections")
    held.kill()


def other_version(lab) -> None:
    """The module that can be unloaded does not work with another version of the one that stays: one that was compiled with
    other headers is made by changing the number of its contract.
    """
    guest, kmod, steer = lab.guests[0], paths.REPO / "kmod", paths.REPO / "include" / "smc_steer"
    guest.check("rmmod tcp_ivpci")
    guest.check(["python3", "-Sc", f"""
import subprocess
files = b''.join(open(name, 'rb').read() for name in (
    '{kmod}/tcp_ivpci.h', '{kmod}/tcp_ivpci_records.h', '{steer}/direct_abi.h'))
number = int(subprocess.run(['cksum'], input=files, stdout=-1, check=True).stdout.split()[0])
path = subprocess.run(['modinfo', '-n', 'tcp_ivpci'], stdout=-1, check=True).stdout.decode().strip()
module = open(path, 'rb').read()
assert number.to_bytes(4, 'little') in module, number
open('/run/other.ko', 'wb').write(module.replace(number.to_bytes(4, 'little'), bytes(4)))
"""])
    run = guest.run("insmod /run/other.ko")
    expect(run.code != 0 and "Invalid parameters" in run.err, f"a module of another version: {run.code} {run.err}")
    expect("tcp_ivpci_calls is of another version" in guest.check("dmesg | tail -5"), "the log does not say why")
    guest.check("modprobe tcp_ivpci")


def under_attach(lab) -> None:
    server, client = lab.guests
    plain = semantics.run_plain(client, server)
    for guest in lab.guests:
        guest.check("modprobe tcp_ivpci")
    for _ in range(10 if lab.long else 1):
        rows(lab, plain)


def under_unload(lab) -> None:
    for guest in lab.guests:
        guest.check("modprobe tcp_ivpci")
    becomes_clean(lab)
    bytes_right(lab, 600 if lab.long else 4)
    unloaded(lab, 20 if lab.long else 2)
    other_version(lab)


def moved(lab, seconds: int, size_kib: int, how: str = "random") -> None:
    """Every byte is right and nothing stands still while connections are moved and moved back at random from both
    ends, or ("toggle") moved and given back by both at about the same moment.
    """
    server, client = lab.guests
    seconds = round(seconds * SLOW)  # the checked kernel attaches to few in the time of another one
    listener = stress.serve(server)
    serving = traffic.transfer_server(server)
    moving = Movers(lab, how, 3, size_kib, ALL)
    running = stress.start(client, server, 6, seconds, 30000)
    traffic.transfer(client, server.ip4, 16 << 20, timeout=120)
    report = stress.finish(running, seconds + 60, listener)
    counts = moving.finish()
    lab.progress(f"rings of {size_kib} KiB: {report['bytes'] >> 20} MiB right")
    for guest, count in zip(lab.guests, counts):
        expect(count["made"] > 2 and count["moves"] > 20, f"{guest.name}: hardly moved any")
        expect(count["ring_sent"] > 1 << 16 and count["tcp_sent"] > 1 << 16, f"{guest.name}: one way only")
        expect_equal(count["lies"], 0, f"{guest.name}: lies")
    for process in (listener, serving):
        process.kill()


def driver_goes(lab, rounds: int, connections: int) -> None:
    """ivpci.ko goes under transfers and connections that are moved, each of them used again and again: within two
    seconds, they go on, and are moved again when it is back.
    """
    server, client = lab.guests
    listener, lists = stress.serve(server), many.serve(server)
    serving = traffic.transfer_server(server, port=many.PORT + 1)
    held = many.start(client, server, connections)
    many.expect_checked(held, connections)
    moving = [Movers(lab, "random", 3, 64, f"{stress.PORT}-{stress.PORT}"),
              Movers(lab, "stay", 20 + connections // 5, 16, f"{many.PORT}-{many.PORT + 1}", port=movers.PORT + 1)]
    running = stress.start(client, server, 6, 25 * rounds, 30000)
    transfers = [client.spawn(traffic.transfer_argv(server.ip4, (32 if lab.long else 4) << 20, many.PORT + 1))
                 for _ in range(10)]
    times = 0
    for _ in range(rounds):
        for guest in lab.guests:
            wait_until(lambda guest=guest: offload(guest, "look", f"{many.PORT}-{many.PORT}")["now"]["moved"],
                       lambda now: now >= 0.95 * connections, 30 + connections // 10, "connections that are moved")
            moved = offload(guest, "look", ALL)["now"]["moved"]
            many.again(held)
            times += 1
            took = offload(guest, "unload", "ivpci")["ms"]
            counts = offload(guest, "counters")
            lab.progress(f"{guest.name}: ivpci unloaded in {took} ms under {moved} moved connections, "
                         f"{counts['made']} rings were made")
            expect(took < 2000 * SLOW, f"to unload took {took} ms")
            expect_equal(counts["made"], counts["returned"], "rings that were given back")
            many.wait_again(held, times)
            prepare(lab)
            wait_until(lambda guest=guest: offload(guest, "counters")["made"],
                       lambda now, made=counts["made"]: now > made, 20, "rings that are made anew")
    many.again(held)
    many.wait_again(held, times + 1)
    for each in transfers:
        expect_equal(each.wait(240), 0, f"exit code of a transfer ({each.out + each.err})")
    report = stress.finish(running, 120 + 60 * rounds, listener)
    lab.progress(f"{report['bytes'] >> 20} MiB right")
    for each in moving:
        each.finish()
    for process in (listener, serving, lists, held):
        process.kill()


@case("direct", "direct-move", append=driver.UNAIDED, agent=False, cpus=2, timeout=150, long_timeout=3600)
def direct_move(lab):
    """Connections are moved onto rings and back at random, from both ends: every byte is right."""
    prepare(lab)
    for size_kib in (16, 256) if not lab.long else (16, 64, 256, 1024):
        moved(lab, 120 if lab.long else 5, size_kib)
    moved(lab, 120 if lab.long else 4, 64, "toggle")


@case("direct", "direct-move-6.1", append=driver.UNAIDED, agent=False, cpus=2, timeout=150, long_timeout=1800,
      kernels=["stock", "guest"])
def direct_move_61(lab):
    """The same between Debian 12's own 6.1 and 7.3."""
    prepare(lab)
    moved(lab, 150 if lab.long else 6, 64)


@case("direct", "direct-driver", agent=False, cpus=2, timeout=220, long_timeout=3600)
def direct_driver(lab):
    """The driver goes under ten transfers and a hundred (a thousand) connections in use and comes back: no byte is lost,
    and nobody waits for a program.
    """
    prepare(lab)
    driver_goes(lab, 20 if lab.long else 1, 1000 if lab.long else 100)


@case("direct", "direct-attach", agent=False, timeout=300, long_timeout=1800)
def direct_attach(lab):
    """All rows of semantics over plain TCP, and again with every connection attached to and detached from each
    millisecond at both ends: no row differs.
    """
    under_attach(lab)


@case("direct", "direct-attach-6.1", agent=False, long_only=True, timeout=300, long_timeout=1800,
      kernels=["stock", "stock"])
def direct_attach_61(lab):
    """The same on Debian 12's own 6.1."""
    under_attach(lab)


@case("direct", "direct-unload", agent=False, cpus=2, long_only=True, timeout=150, long_timeout=1800)
def direct_unload(lab):
    """Connections become CLEAN; every byte is right under attach and detach at random from both ends, beside
    threads that dawdle; the module goes under traffic within two seconds, and everything goes on.
    """
    under_unload(lab)


@case("direct", "direct-unload-6.1", agent=False, cpus=2, timeout=150, long_timeout=1800,
      kernels=["stock", "stock"])
def direct_unload_61(lab):
    """The same on Debian 12's own 6.1."""
    under_unload(lab)
