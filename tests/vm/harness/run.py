# SPDX-License-Identifier: Apache-2.0
"""./dev test: every test of the project, one line each, "N passed, N failed" at the end.

What cannot run (a program that is not built, a kernel that is not there) is a failure that
says why, never a silence.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from . import arguments, gtest, junit, namespaces, paths, self_tests, vm_cases
from . import case as cases
from .outcome import Outcome

EPILOG = """examples:
  ./dev test                         everything, short forms; what .ci/run does
  ./dev test --list
  ./dev test --label unit --label abi
  ./dev test --only deny-port
  ./dev test --label spine --long    with the forms that take minutes
  ./dev test --label spine --debug-kernel

labels: unit, abi, broker (programs on this machine), then one per capability (in guests)."""

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


def vm_batches(long: bool, only: list[str]) -> list[Batch]:
    slow = DEBUG_SLOWDOWN if paths.CHECKED else 1.0
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
    return [Batch(label, [each.name for each in known.values() if each.label == label], run, True)
            for label in labels]


def collect(long: bool, only: list[str]) -> list[Batch]:
    batches = [gtest_batch("unit", GTEST["unit"]), self_test_batch(),
               gtest_batch("abi", GTEST["abi"]), gtest_batch("broker", GTEST["broker"])]
    return batches + vm_batches(long, only)


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
            chosen.append(Batch(batch.label, names, batch.run, batch.vm))
    if not chosen:
        raise ValueError("no case has such a label and such a name")
    return chosen


def show(outcome: Outcome) -> None:
    word = "ok  " if outcome.passed else "FAIL"
    print(f"{word}  {outcome.label:<7} {outcome.name}  {outcome.seconds:.1f} s", flush=True)
    if not outcome.passed:
        for text in filter(None, (outcome.reason, outcome.logs)):
            print("      " + text.replace("\n", "\n      "), flush=True)


def main() -> int:
    parser = arguments.Parser(prog="./dev test", description="Runs the tests.", epilog=EPILOG)
    parser.add_argument("--list", action="store_true", help="name the cases with their labels")
    parser.add_argument("--label", action="append", default=[], metavar="L",
                        help="cases with this label (may be repeated)")
    parser.add_argument("--only", action="append", default=[], metavar="CASE",
                        help="this case (may be repeated)")
    parser.add_argument("--long", action="store_true", help="full forms of long cases")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write JUnit XML too")
    options = parser.parse_args()
    try:
        batches = select(collect(options.long, options.only), options.label, options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for batch in batches:
            for name in batch.names:
                print(f"{batch.label:<8} {name}")
        return 0
    if any(batch.vm for batch in batches):
        namespaces.require_root()
    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        show(outcome)

    try:
        for batch in batches:
            batch.run(batch.names, report)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if options.junit:
        junit.write(options.junit, outcomes)
    passed = sum(outcome.passed for outcome in outcomes)
    for outcome in outcomes:
        if not outcome.passed:
            print(f"failed: {outcome.label} {outcome.name}")
    print(f"{passed} passed, {len(outcomes) - passed} failed")
    return 0 if passed == len(outcomes) else 1
