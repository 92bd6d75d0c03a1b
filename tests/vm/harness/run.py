# SPDX-License-Identifier: Apache-2.0
"""./dev test: every test of the project, one line each, "N passed, N failed" at the end.

What cannot run (a program that is not built, a kernel that is not there) is a failure that
says why, never a silence.
"""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from . import arguments, changed, gtest, junit, mutants, namespaces, paths, self_tests, vm_cases
from . import case as cases
from .outcome import Outcome
from .progress import UNKNOWN, Progress, memory_of

EPILOG = """examples:
  ./dev test                         everything, short forms; what .ci/run does
  ./dev test --list
  ./dev test --label unit --label abi
  ./dev test --only deny-port
  ./dev test --changed               what the uncommitted changes can have broken
  ./dev test --changed main~3        what the changes since that commit can have broken
  ./dev test --label spine --long    with the forms that take minutes
  ./dev test --label spine --debug-kernel

labels: unit, abi, broker (programs on this machine), then one per capability (in guests), and
mutants: two of ./dev mutants in turn, all of them with --long. cluster (Kubernetes, which is
compiled for it first) is no part of a run that does not name it."""

GTEST = {
    "unit": paths.BUILD / "tests" / "unit_tests",
    "abi": paths.BUILD / "tests" / "abi_tests",
    "broker": paths.BUILD / "tests" / "broker_tests",
}

# Labels that a run has only if somebody asks for them, or for their cases: they want what no other case does, and
# take minutes each.
ON_REQUEST = {"cluster"}

# Of a whole case on a kernel that checks itself: more than of what the case waits for.
DEBUG_SLOWDOWN = 1.25 * paths.SLOW


@dataclass
class Batch:
    """Cases that run by one call, which reports each through `report`."""

    label: str
    names: list[str]
    run: Callable[[list[str], Callable[[Outcome], None]], None]
    vm: bool = False
    alone: frozenset[str] = frozenset()  # names that share the machine with no other case


def broken(label: str, name: str, reason: str) -> Batch:
    """Stands for cases that cannot even be listed."""
    return Batch(label, [name],
                 lambda _names, report: report(Outcome(label, name, False, 0.0, reason)))


def gtest_batch(label: str, binary: Path) -> Batch:
    def run(names, report):
        for outcome in gtest.run_tests(label, binary, names):
            report(outcome)
    try:
        names = gtest.list_tests(binary)
    except Exception as error:
        return broken(label, binary.name, f"{binary.name} does not list its tests: {error}")
    return Batch(label, names, run) if names else broken(label, binary.name, "no test in it")


def self_test_batch() -> Batch:
    tests = self_tests.collect()

    def run(names, report):
        for name in names:
            report(self_tests.run(name, tests[name]))
    return Batch(self_tests.LABEL, list(tests), run)


def vm_batches(long: bool, only: list[str], jobs: int) -> list[Batch]:
    slow = (DEBUG_SLOWDOWN if paths.CHECKED else 1.0) * jobs
    try:
        known = {name: one for name, one in cases.load().items()
                 if (paths.CHECKED or not one.checked_only)
                 and (long or name in only or not one.long_only)}
    except Exception as error:
        return [broken("spine", "tests/vm/cases", f"{type(error).__name__}: {error}")]

    def run(names, report):
        for name in names:
            report(vm_cases.run(known[name], long, slow))
    labels = dict.fromkeys(each.label for each in known.values())
    alone = frozenset(name for name, one in known.items() if one.alone)
    return [Batch(label, [each.name for each in known.values() if each.label == label], run, True,
                  alone) for label in labels]


def mutant_batch(long: bool, only: list[str]) -> Batch:
    try:
        known = mutants.cases(long, only)
    except ValueError as error:
        return broken(mutants.LABEL, "tests/mutants", str(error))

    def run(names, report):
        for name in names:
            report(mutants.run(known[name]))
    # Each compiles with all CPUs.
    return Batch(mutants.LABEL, list(known), run, True, frozenset(known))


def collect(long: bool, only: list[str], jobs: int) -> list[Batch]:
    batches = [gtest_batch("unit", GTEST["unit"]), self_test_batch(),
               gtest_batch("abi", GTEST["abi"]), gtest_batch("broker", GTEST["broker"])]
    return [*batches, *vm_batches(long, only, jobs), mutant_batch(long, only)]


def select(batches: list[Batch], labels: list[str], only: list[str]) -> list[Batch]:
    """Batches with what was asked for; ValueError for a word that names nothing."""
    known_labels = list(dict.fromkeys(batch.label for batch in batches))
    known = {name for batch in batches for name in batch.names}
    for label in labels:
        if label not in known_labels:
            raise ValueError(f"no case has label '{label}': there are {', '.join(known_labels)}")
    for name in only:
        if name not in known:
            raise ValueError(f"no case is called '{name}' (see ./dev test --list)")
    chosen = []
    for batch in batches:
        names = [name for name in batch.names
                 if (not labels or batch.label in labels) and (not only or name in only)]
        if names:
            chosen.append(replace(batch, names=names))
    if not chosen:
        raise ValueError("no case has such a label and such a name")
    return chosen


def plain(batches: list[Batch]) -> list[Batch]:
    """What a run has that names nothing."""
    return [batch for batch in batches if batch.label not in ON_REQUEST]


def simply(batch: Batch, names: list[str], report: Callable[[Outcome], None]) -> None:
    batch.run(names, report)


class Crowded:
    """Cases that failed while others ran beside them. A machine that is shared can be too slow for a case's
    limits, which says nothing of the code: such a case gets a second try, by itself, which counts. More
    than a few are no matter of the machine, and get none.
    """

    MOST = 5

    def __init__(self):
        self.failed: list[tuple[Batch, Outcome]] = []

    def beside(self, batch: Batch, names: list[str], report: Callable[[Outcome], None]) -> None:
        def look(outcome: Outcome) -> None:
            if outcome.passed:
                report(outcome)
            else:
                why = outcome.reason.split("\n")[0]
                print(f"later {batch.label:<10} {outcome.name}  once more by itself at the end: {why}",
                      flush=True)
                self.failed.append((batch, outcome))
        batch.run(names, look)

    def again(self, report: Callable[[Outcome], None]) -> None:
        tried = self.failed if len(self.failed) <= self.MOST else []
        for _, outcome in self.failed[len(tried):]:
            report(outcome)
        for batch, first in tried:
            keep_logs(first.name)
            batch.run([first.name], lambda outcome, first=first: report(
                replace(outcome, before=first.reason) if outcome.passed else outcome))


def keep_logs(name: str) -> None:
    """Of a first try, beside those of the second."""
    logs = paths.TEST_LOGS / name
    kept = logs.with_name(f"{name}.beside-others")
    shutil.rmtree(kept, ignore_errors=True)
    if logs.exists():
        logs.rename(kept)


def run_all(batches: list[Batch], jobs: int, report: Callable[[Outcome], None],
            seconds: dict[str, float]) -> None:
    """Programs of this machine, one after the other, beside cases in guests, `jobs` at a time in all; then
    what wants the machine for itself. `seconds`: what cases took the last time, where that is known.
    """
    guests = [(batch, name) for batch in batches if batch.vm for name in batch.names]
    # What takes long begins early, or one CPU has nothing to do at the end.
    guests.sort(key=lambda each: -seconds.get(each[1], UNKNOWN))

    def here(run, each) -> None:
        for batch in batches:
            if not batch.vm:
                run(batch, batch.names, each)
    crowded = Crowded()
    pool = ThreadPoolExecutor(jobs)
    try:
        run = crowded.beside if jobs > 1 else simply
        together = [pool.submit(here, run, report)]
        together += [pool.submit(run, batch, [name], report)
                     for batch, name in guests if name not in batch.alone]
        for each in together:
            each.result()
    finally:  # Ctrl-C starts no case that waits
        pool.shutdown(wait=False, cancel_futures=True)
    crowded.again(report)
    for batch, name in guests:
        if name in batch.alone:
            batch.run([name], report)


def main() -> int:
    parser = arguments.Parser(prog="./dev test", description="Runs the tests.", epilog=EPILOG)
    parser.add_argument("--list", action="store_true", help="name the cases with their labels")
    parser.add_argument("--label", action="append", default=[], metavar="L",
                        help="cases with this label (may be repeated)")
    parser.add_argument("--only", action="append", default=[], metavar="CASE",
                        help="this case (may be repeated)")
    parser.add_argument("--changed", nargs="?", const="HEAD", metavar="COMMIT",
                        help="cases that can be broken by what differs from COMMIT (HEAD: what is not "
                        "committed)")
    parser.add_argument("--long", action="store_true", help="full forms of long cases")
    parser.add_argument("--jobs", type=arguments.number(1, 64), metavar="N",
                        help="cases in guests at a time (default: one for each CPU, four at most; with "
                        "--long or --debug-kernel one)")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write JUnit XML too")
    options = parser.parse_args()
    arguments.end_if_only_asked()
    together = not options.long and not paths.CHECKED
    jobs = options.jobs or (min(os.cpu_count(), 4) if together else 1)
    try:
        batches = select(collect(options.long, options.only, jobs), options.label, options.only)
        if not (options.label or options.only or options.list):
            batches = plain(batches)
        if options.changed:
            batches = changed.narrow(batches, options.changed)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for batch in batches:
            for name in batch.names:
                print(f"{batch.label:<8} {name}")
        return 0
    if any(batch.vm for batch in batches):
        namespaces.require_root()
    progress = Progress({name: batch.vm for batch in batches for name in batch.names}, jobs,
                        memory_of(options.long))
    try:
        run_all(batches, jobs, progress.report, progress.seconds)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)  # the kernel ends the cases with the threads that started them
    if options.junit:
        junit.write(options.junit, progress.outcomes)
    return progress.close()
