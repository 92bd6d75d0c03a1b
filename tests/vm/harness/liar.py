# SPDX-License-Identifier: Apache-2.0
"""Connections one step at a time, and a member that writes into the headers of their buffers."""

import json
from contextlib import contextmanager

from . import driver, paths
from .case import expect, expect_equal, wait_until
from .guest import Guest

FORGE = paths.PROGRAMS / "forge"
ENDS = paths.REPO / "tests" / "vm" / "guest" / "ends"

Cursor = tuple[int, int]  # wrap, count


def looks(guest: Guest) -> int:
    """How often its driver looked at all buffers of a peer."""
    return int(guest.check(f"cat {driver.DEVICE}/stats/full_scans"))


class Ends:
    """tests/vm/guest/ends in a guest."""

    def __init__(self, guest: Guest):
        self.process = guest.spawn([str(ENDS)], stdin=True)
        self.asked = 0

    def say(self, *words) -> None:
        self.process.write((" ".join(str(word) for word in words) + "\n").encode())
        self.asked += 1

    def answer(self, seconds: float = 20) -> dict:
        lines = wait_until(self._lines, lambda lines: len(lines) >= self.asked, seconds,
                           f"answers of {self.process.what}")
        return json.loads(lines[self.asked - 1])

    def ask(self, *words, seconds: float = 20) -> int:
        """What has to go well: the number of bytes."""
        self.say(*words)
        got = self.answer(seconds)
        expect_equal(got["errno"], 0, f"errno of {words}")
        return got["bytes"]

    def _lines(self) -> list[bytes]:
        expect(self.process.poll() is None, f"ends ended: {self.process.err.decode()}")
        return self.process.out.split(b"\n")[:-1]


class Liar:
    """tests/vm/programs/forge in the hostile guest, about one member."""

    def __init__(self, hostile: Guest, owner: Guest, writer: Guest):
        self.hostile = hostile
        self.owner, self.writer = driver.slot(owner), driver.slot(writer)

    def _argv(self, *words) -> list[str]:
        return [str(paths.built(FORGE)), f"{driver.DEVICE}/device", "16", *map(str, words)]

    def _forge(self, *words) -> str:
        return self.hostile.check(self._argv(*words))

    def buffers(self) -> list[dict]:
        """Of the owner, that the writer may write into."""
        return [each for each in json.loads(self._forge("list", self.owner))
                if each["writer"] == self.writer]

    def lie(self, index: int, prod: Cursor, cons: Cursor, flags: int = 0, state: int = 0) -> None:
        """The owner is made to look at it, which its driver counts (looks())."""
        self._forge("lie", self.owner, index, *prod, *cons, flags, state)

    @contextmanager
    def claimed_lengths(self, buffers: list[dict], divisor: int):
        """The descriptors of these buffers say less than is so, and their owner says again what is when nobody
        lies any more.
        """
        true = {each["index"]: each["len"] for each in buffers}
        words = [word for index, length in true.items() for word in (index, length // divisor)]
        lying = self.hostile.spawn(self._argv("length", self.owner, *words))
        lying.wait_output("lying", 10)
        yield
        lying.kill()
        lying.wait(10)
        wait_until(lambda: {each["index"]: each["len"] for each in self.buffers()},
                   lambda said: all(said.get(index, length) == length for index, length in true.items()),
                   5, "lengths in descriptors that nobody lies about any more")
