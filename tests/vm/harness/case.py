# SPDX-License-Identifier: Apache-2.0
"""How a VM case is written:

    @case("spine", "deny-port", guests=2)
    def deny_port(lab):
        client, server = lab.guests
        expect(server.run("true").code == 0, "true fails")

A case gets guests of its own, freshly booted, with the ivpci device, and smc-agent active
where it did not ask for agent=False. It fails when it raises, when a kernel printed a splat,
and when a guest died that it did not kill.
"""

import importlib
import sys
import time
from dataclasses import dataclass
from typing import Callable

from . import paths
from .lab import Lab, Plan

SLOW = paths.SLOW


@dataclass
class Case:
    label: str
    name: str
    function: Callable[[Lab], None]
    plan: Plan
    agent: bool
    timeout: int
    long_timeout: int
    about: str
    checked_only: bool  # needs what only the checked kernel has (--debug-kernel)
    alone: bool  # no other case runs beside it
    long_only: bool  # takes minutes and has no short form

    def seconds(self, long: bool) -> int:
        return self.long_timeout if long else self.timeout


CASES: dict[str, Case] = {}


def case(label: str, name: str, *, agent: bool = True, timeout: int = 60,
         long_timeout: int | None = None, checked_only: bool = False, long_only: bool = False,
         alone: bool = False, **plan):
    """Registers a case. `timeout` counts seconds from the moment its guests are up;
    `long_timeout` under --long (lab.long is True then). `checked_only`: not a case at all but
    under --debug-kernel. `long_only`: only under --long, or by its name. `alone`: it takes all CPUs, or
    what it looks at takes its time where it has less. `plan`: fields of lab.Plan.
    """
    def register(function):
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        about = (function.__doc__ or "").strip().split("\n\n")[0]
        CASES[name] = Case(label, name, function, Plan(**plan), agent, timeout,
                           long_timeout or timeout, about, checked_only, alone, long_only)
        return function
    return register


def load() -> dict[str, Case]:
    """All cases, in the order of their files and of their places there."""
    where = paths.REPO / "tests" / "vm"
    if str(where) not in sys.path:
        sys.path.insert(0, str(where))
    for file in sorted((where / "cases").glob("[a-z]*.py")):
        importlib.import_module(f"cases.{file.stem}")
    return CASES


def expect(condition, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def wait_until(look: Callable, good: Callable, seconds: float, what: str, pause: float = 0.1):
    """What look() returns once good() says it is: at least once, for `seconds` (times SLOW) at most."""
    deadline = time.monotonic() + SLOW * seconds
    while not good(value := look()):
        expect(time.monotonic() < deadline, f"{what} after {seconds:g} s: {value!r}")
        time.sleep(pause)
    return value


def expect_equal(got, wanted, what: str) -> None:
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r}")
