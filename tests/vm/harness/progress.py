# SPDX-License-Identifier: Apache-2.0
"""What a run says of itself: a line for each case with about how long the rest takes, and at the end the
slowest cases, the failed ones, and "N passed, N failed".
"""

import json
import threading
import time
from pathlib import Path

from . import paths
from .outcome import Outcome

SLOWEST = 10
UNKNOWN = 25.0  # seconds of a case in guests that this machine has not run yet
REMEMBERED = paths.CACHE / "test-seconds.json"


def memory_of(long: bool) -> Path:
    """Of runs of the same kind: what the checked kernel and long forms take says nothing about the others."""
    kind = "-checked" * paths.CHECKED + "-long" * long
    return REMEMBERED.with_stem(REMEMBERED.stem + kind)


def remembered(path: Path = REMEMBERED) -> dict[str, float]:
    """How long cases took here the last time; a file that says nothing is no trouble."""
    try:
        seconds = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return seconds if isinstance(seconds, dict) else {}


def remember(outcomes: list[Outcome], path: Path = REMEMBERED) -> None:
    known = {each.name: round(each.seconds, 1) for each in outcomes if each.passed}
    fresh = path.with_suffix(f".{threading.get_native_id()}")
    try:
        fresh.write_text(json.dumps(remembered(path) | known, indent=0))
        fresh.rename(path)
    except OSError:
        pass  # the next run knows less


def estimate(vm: dict[str, bool], seconds: dict[str, float], jobs: int) -> float:
    """Seconds that cases take, `jobs` of those in guests at a time. `vm`: name -> is it in guests."""
    guests = sum(seconds.get(name, UNKNOWN) for name, is_vm in vm.items() if is_vm)
    return guests / jobs + sum(seconds.get(name, 0.0) for name, is_vm in vm.items() if not is_vm)


def about(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(seconds, 1):.0f} s"


def slowest(outcomes: list[Outcome]) -> list[str]:
    """A table; nothing where there are few."""
    if len(outcomes) <= SLOWEST:
        return []
    chosen = sorted(outcomes, key=lambda each: -each.seconds)[:SLOWEST]
    return ["", "slowest:", *(f"  {each.seconds:7.1f} s  {each.label:<10} {each.name}"
                              for each in chosen), ""]


class Progress:
    """`vm`: the cases of this run, name -> is it in guests. Cases report from several threads."""

    def __init__(self, vm: dict[str, bool], jobs: int, memory: Path = REMEMBERED):
        self.memory = memory
        self.left = dict(vm)
        self.total = len(vm)
        self.jobs = jobs
        self.seconds = remembered(memory)
        self.outcomes: list[Outcome] = []
        self.lock = threading.Lock()
        self.began = time.monotonic()
        if self.total > 1:
            print(f"{self.total} cases: about {about(self.rest())}", flush=True)

    def rest(self) -> float:
        return estimate(self.left, self.seconds, self.jobs)

    def report(self, outcome: Outcome) -> None:
        with self.lock:
            self.outcomes.append(outcome)
            is_vm = self.left.pop(outcome.name, False)
            left = f", {about(self.rest())} left" if is_vm and self.left else ""
            word = "ok  " if outcome.passed else "FAIL"
            print(f"{word}  {outcome.label:<10} {outcome.name}  {outcome.seconds:.1f} s"
                  f"  ({len(self.outcomes)}/{self.total}{left})", flush=True)
            if outcome.before:
                print("      by itself; beside others it failed: " + outcome.before.split("\n")[0], flush=True)
            if not outcome.passed:
                for text in filter(None, (outcome.reason, outcome.logs)):
                    print("      " + text.replace("\n", "\n      "), flush=True)

    def close(self) -> int:
        """Sums up; the exit code. A case that never reported is a failure."""
        for name in self.left:
            self.outcomes.append(Outcome("?", name, False, 0.0))
            print(f"FAIL  {name}: it said nothing")
        for line in slowest(self.outcomes):
            print(line)
        if self.total > 1:
            print(f"{about(time.monotonic() - self.began)} in all")
        failed = [each for each in self.outcomes if not each.passed]
        for each in failed:
            print(f"failed: {each.label} {each.name}")
        for each in self.outcomes:
            if each.before:
                print(f"only by itself: {each.label} {each.name}")
        passed = len(self.outcomes) - len(failed)
        print(f"{passed} passed, {len(failed)} failed")
        remember(self.outcomes, self.memory)
        return 1 if failed or not self.outcomes else 0
