# SPDX-License-Identifier: Apache-2.0
"""./dev test: every test of the project, one line each, "N passed, N failed" at the end.

What cannot run (a program that is not built, a kernel that is not there) is a failure that
says why, never a silence.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from . import arguments, changed, gtest, junit, mutants, namespaces, paths, self_tests, vm_cases
from . import case as cases
from .outcome import Outcome
from .progress import Progress

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
mutants: two of ./dev mutants in turn, all of them with --long."""

GTEST = {
    "unit": paths.BUILD / "tests" / "unit_tests",
    "abi": paths.BUILD / "tests" / "abi_tests",
    "broker": paths.BUILD / "tests" / "broker_tests",
}

# A kernel that checks itself takes its time.
DEBUG_SLOWDOWN = 5.0


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


def run_all(batches: list[Batch], jobs: int, report: Callable[[Outcome], None]) -> None:
    """Programs of this machine first, one after the other; then cases in guests, `jobs` at a time; last
    those that want the machine for themselves.
    """
    for batch in batches:
        if not batch.vm:
            batch.run(batch.names, report)
    guests = [(batch, name) for batch in batches if batch.vm for name in batch.names]
    pool = ThreadPoolExecutor(jobs)
    try:
        together = [pool.submit(batch.run, [name], report) for batch, name in guests
                    if name not in batch.alone]
        for each in together:
            each.result()
    finally:  # Ctrl-C starts no case that waits
        pool.shutdown(wait=False, cancel_futures=True)
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
    together = not options.long and not paths.CHECKED
    jobs = options.jobs or (min(os.cpu_count(), 4) if together else 1)
    try:
        batches = select(collect(options.long, options.only, jobs), options.label, options.only)
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
    progress = Progress({name: batch.vm for batch in batches for name in batch.names}, jobs)
    try:
        run_all(batches, jobs, progress.report)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)  # the kernel ends the cases with the threads that started them
    if options.junit:
        junit.write(options.junit, progress.outcomes)
    return progress.close()
