# SPDX-License-Identifier: Apache-2.0
"""tests/vm/programs/dawdle in guests: threads that take their time where they are seldom slow."""

import signal

from . import paths
from .channel import Process
from .guest import Guest

DAWDLE = paths.PROGRAMS / "dawdle"


def start(guest: Guest, *argv: str) -> Process:
    """It is at work once `wait` has returned for it."""
    return guest.spawn([str(paths.built(DAWDLE)), *argv])


def wait(running: list[Process]) -> None:
    for each in running:
        each.wait_output("dawdling", 20)


def finish(running: Process) -> int:
    """How often somebody was slow."""
    running.signal(signal.SIGTERM)
    running.wait(10)
    return int(running.out.split()[-1])
