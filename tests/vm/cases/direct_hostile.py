# SPDX-License-Identifier: Apache-2.0
"""A member writes into rings what cannot be: the one connection is reset, and nothing else happens."""

import json
import time
from dataclasses import dataclass

from harness import driver, paths
from harness.case import case, expect, expect_equal, wait_until
from harness.movers import Movers, offload, prepare

PORT = 9801
FORGE = paths.PROGRAMS / "forge"
SLOTS = 16

# Sends back what comes, and says how each connection ended.
ECHO = f"""
import errno, socket, threading
listener = socket.create_server(('0.0.0.0', {PORT}))
def echo(one, port):
    try:
        while data := one.recv(1000):
            one.sendall(data)
        print(port, 'end', flush=True)
    except OSError as error:
        print(port, errno.errorcode[error.errno], flush=True)
print('listening', flush=True)
while True:
    one, (_, port) = listener.accept()
    threading.Thread(target=echo, args=(one, port), daemon=True).start()
"""

# A connection; for each line of input bytes there and back.
CALL = f"""
import socket, sys
one = socket.create_connection((sys.argv[1], {PORT}))
print('port', one.getsockname()[1], flush=True)
for line in sys.stdin:
    try:
        one.sendall(line.encode())
        got = b''
        while len(got) < len(line):
            part = one.recv(1000)
            if not part:
                raise OSError('the end')
            got += part
        print('right' if got == line.encode() else 'wrong', flush=True)
    except OSError:
        print('broken', flush=True)
"""


@dataclass(frozen=True)
class Lie:
    name: str
    ours: bool  # in the liar's own ring, where it says what it has read; else in the other's
    words: tuple[tuple[int, int], ...]  # offset, value: 8 bytes


def record(length: int, seq: int) -> int:
    return length | seq << 32


LIES = [
    Lie("more than fits", False, ((0, 1 << 20),)),
    Lie("no multiple of 8", False, ((0, 12),)),
    Lie("a record beyond the end", False, ((256, record(9, 0)), (0, 16))),
    Lie("a record as long as can be", False, ((256, record(0xffffffff, 0)), (0, 64))),
    Lie("an empty record", False, ((256, 0), (0, 16))),
    Lie("consumed what was not sent", True, ((128, 1 << 20),)),
    Lie("closed at no record's end", True, ((136, 12345), (144, 1 | 1 << 32))),
]


class Liar:
    """guest2, which lies to guest1."""

    def __init__(self, lab) -> None:
        self.server, self.client = lab.guests
        self.device = self.client.check(f"readlink -f {driver.DEVICE}/device").strip()
        self.slots = [driver.slot(guest) for guest in lab.guests]

    def forge(self, *words) -> str:
        return self.client.check([str(paths.built(FORGE)), self.device, str(SLOTS), *map(str, words)])

    def rings(self, ours: bool) -> set[int]:
        return {each["index"] for each in json.loads(self.forge("list", self.slots[ours]))}

    def tell(self, lie: Lie, ring: int) -> None:
        for offset, value in lie.words:
            self.forge("word", self.slots[lie.ours], ring, offset, value)


def call(client, server):
    process = client.spawn(["python3", "-Sc", CALL, server.ip4], stdin=True)
    process.wait_output("port", 20)
    return process, process.out.decode().split()[1]


def ping(process, wanted: str) -> None:
    count = process.out.decode().count("\n")
    process.write(b"are you there?\n")
    wait_until(lambda: process.poll() or process.out.decode().splitlines()[count:],
               lambda lines: lines == [wanted], 20, "answer")


@case("direct", "direct-hostile", agent=False, timeout=150, long_timeout=300)
def direct_hostile(lab):
    """A member says of its rings, and of those that it writes to, what cannot be: each time that connection is
    reset, and another one beside it goes on.
    """
    prepare(lab)
    server, client = lab.guests
    echo = server.spawn(["python3", "-Sc", ECHO])
    echo.wait_output("listening", 20)
    moving = Movers(lab, "stay", 5, 16, f"{PORT}-{PORT}")
    liar = Liar(lab)

    def look() -> list[int]:
        return [offload(guest, "look", f"{PORT}-{PORT}")["now"]["moved"] for guest in lab.guests]

    def moved(count: int, process) -> None:
        """Who sleeps in TCP comes out with the first bytes: some now and then."""
        for _ in range(30):
            if look() == [count, count]:
                return
            ping(process, "right")
            time.sleep(0.3)
        expect_equal(look(), [count, count], "connections that are moved")

    good, _ = call(client, server)
    moved(1, good)
    ping(good, "right")
    lies = 0
    for lie in LIES:
        before = liar.rings(lie.ours)
        victim, port = call(client, server)
        moved(2, victim)
        (ring,) = liar.rings(lie.ours) - before
        liar.tell(lie, ring)
        if lie.ours:  # it is found out when guest1 sends
            victim.write(b"x\n")
        wait_until(lambda: echo.poll() or echo.out.decode(),
                   lambda out, port=port: f"{port} " in out, 20, f"{lie.name}: end of the connection")
        expect(f"{port} ECONNRESET" in echo.out.decode(), f"{lie.name}: {echo.out.decode()}")
        victim.kill()
        ping(good, "right")
        lies += 1
        expect_equal(offload(server, "counters")["lies"], lies, f"lies that were found ({lie.name})")
        moved(1, good)
    lab.progress(f"{lies} lies, {lies} connections reset")
    moving.finish()
    echo.kill()
