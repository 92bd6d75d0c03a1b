# SPDX-License-Identifier: Apache-2.0
"""The runner's pure parts: what a report says, what a selection is, what does not pass."""

import contextlib
import io
import json
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from harness import case, changed, gtest, progress, qemu, self_tests
from harness.lab import Plan
from harness.outcome import Outcome
from harness.run import Batch, plain, run_all, select

LISTING = """\
Running main() from gtest_main.cc
Ports.
  One
  Range  # TypeParam = int
Sizes/Param.
  Each/0  # GetParam() = 4
"""


def report(**test):
    return {"testsuites": [{"name": "S", "testsuite": [{"name": "t", "time": "0.25s", **test}]}]}


def batches():
    def run(names, each):
        for name in names:
            each(Outcome("x", name, True, 0.0))
    return [Batch("unit", ["a", "b"], run), Batch("abi", ["c"], run),
            Batch("spine", ["deny-port"], run, True)]


class GtestTest(unittest.TestCase):
    def test_list(self):
        self.assertEqual(gtest.parse_list(LISTING), ["Ports.One", "Ports.Range", "Sizes/Param.Each/0"])

    def test_passed_failed(self):
        passed = gtest.parse_report(report(status="RUN", result="COMPLETED"))
        self.assertEqual(passed, {"S.t": (True, 0.25, "")})
        failed = gtest.parse_report(report(status="RUN", result="COMPLETED",
                                           failures=[{"failure": "x != y"}]))
        self.assertEqual(failed["S.t"][0], False)
        self.assertIn("x != y", failed["S.t"][2])

    def test_skipped_and_disabled_did_not_pass(self):
        for test in ({"status": "RUN", "result": "SKIPPED"}, {"status": "NOTRUN", "result": "SUPPRESSED"}):
            self.assertFalse(gtest.parse_report(report(**test))["S.t"][0])


class SelectTest(unittest.TestCase):
    def names(self, labels, only):
        return [name for batch in select(batches(), labels, only) for name in batch.names]

    def test_all_in_order(self):
        self.assertEqual(self.names([], []), ["a", "b", "c", "deny-port"])

    def test_labels_and_names(self):
        self.assertEqual(self.names(["abi", "spine"], []), ["c", "deny-port"])
        self.assertEqual(self.names([], ["deny-port", "a"]), ["a", "deny-port"])
        self.assertEqual(self.names(["unit"], ["b"]), ["b"])

    def test_clusters_only_when_somebody_asks(self):
        asked = [*batches(), Batch("cluster", ["install"], batches()[0].run, True)]
        self.assertEqual([each.label for each in plain(asked)], ["unit", "abi", "spine"])
        self.assertEqual([each.names for each in select(asked, ["cluster"], [])], [["install"]])

    def test_words_that_name_nothing(self):
        for labels, only in ((["fabric"], []), ([], ["deny"]), (["abi"], ["a"])):
            with self.assertRaises(ValueError):
                select(batches(), labels, only)


class RunAllTest(unittest.TestCase):
    """How many cases run at a time, and which never beside another."""

    def test_together_and_alone(self):
        both = threading.Barrier(2, timeout=20)  # breaks unless two cases meet there
        running, most, reported = set(), {}, []
        lock = threading.Lock()

        def run(names, report):
            for name in names:
                with lock:
                    running.add(name)
                if name in ("a", "b"):
                    both.wait()
                with lock:
                    most[name] = len(running)
                    running.discard(name)
                report(Outcome("x", name, True, 0.0))

        guests = Batch("spine", ["a", "alone", "b", "c"], run, True, frozenset({"alone"}))
        run_all([Batch("unit", ["first"], run), guests], 2, lambda each: reported.append(each.name), {})
        self.assertEqual(sorted(reported), ["a", "alone", "b", "c", "first"])
        self.assertEqual((reported[-1], most["alone"]), ("alone", 1))

    def outcomes(self, jobs, tries):
        """Of cases a, b, ... that fail in their first tries, as tries says."""
        reported, left = [], dict(tries)

        def run(names, report):
            for name in names:
                left[name] -= 1
                report(Outcome("x", name, left[name] < 0, 0.0, "" if left[name] < 0 else "too late"))
        with contextlib.redirect_stdout(io.StringIO()):
            run_all([Batch("unit", ["a"], run), Batch("spine", list(tries)[1:], run, True)], jobs,
                    reported.append, {})
        return {each.name: (each.passed, each.before) for each in reported}

    def test_what_fails_beside_others_has_a_second_try_by_itself(self):
        self.assertEqual(self.outcomes(2, {"a": 1, "b": 0, "c": 1, "d": 2}),
                         {"a": (True, "too late"), "b": (True, ""), "c": (True, "too late"), "d": (False, "")})

    def test_no_second_try_for_many_or_without_others(self):
        many = {name: 1 for name in "abcdef"}
        self.assertEqual(self.outcomes(2, many), {name: (False, "") for name in many})
        self.assertEqual(self.outcomes(1, {"a": 1, "b": 0}), {"a": (False, ""), "b": (True, "")})

    def test_a_case_that_raises_ends_the_run(self):
        def run(_names, _report):
            raise OSError("no namespaces")
        with self.assertRaises(OSError):
            run_all([Batch("spine", ["a"], run, True)], 2, lambda each: None, {})


class ProgressTest(unittest.TestCase):
    def closed(self, outcomes, vm):
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(said):
            memory = Path(directory) / "seconds.json"
            shown = progress.Progress(vm, 2, memory)
            for each in outcomes:
                shown.report(each)
            code = shown.close()
            kept = json.loads(memory.read_text())
        return code, said.getvalue().splitlines(), kept

    def test_the_last_line_and_what_is_remembered(self):
        good, bad = Outcome("unit", "a", True, 1.5), Outcome("spine", "b", False, 2.0, "because")
        code, lines, kept = self.closed([good, bad], {"a": False, "b": True})
        self.assertEqual((code, lines[-1], kept), (1, "1 passed, 1 failed", {"a": 1.5}))
        self.assertIn("failed: spine b", lines)
        self.assertEqual(self.closed([good], {"a": False})[0], 0)

    def test_a_case_that_says_nothing_failed(self):
        code, lines, _ = self.closed([], {"a": True})
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed"))

    def test_no_case_is_no_success(self):
        self.assertEqual(self.closed([], {})[0], 1)

    def test_the_ten_slowest(self):
        outcomes = [Outcome("spine", f"case{n}", True, float(n)) for n in range(12)]
        table = progress.slowest(outcomes)
        self.assertEqual([line.split()[-1] for line in table if "case" in line],
                         [f"case{n}" for n in range(11, 1, -1)])
        self.assertEqual(progress.slowest(outcomes[:10]), [])

    def test_runs_of_each_kind_remember_for_themselves(self):
        self.assertEqual(len({progress.memory_of(False), progress.memory_of(True), progress.REMEMBERED}), 2)
        self.assertEqual(progress.memory_of(True).name.replace("-checked", ""), "test-seconds-long.json")

    def test_estimate(self):
        vm = {"a": False, "b": True, "c": True}
        self.assertEqual(progress.estimate(vm, {"a": 3.0, "b": 10.0}, 2), 3 + (10 + progress.UNKNOWN) / 2)


class ChangedTest(unittest.TestCase):
    def test_rules(self):
        case.load()
        self.assertEqual(changed.cases_of("broker/lease.cc"), {"unit", "broker", "fabric"})
        self.assertEqual(changed.cases_of("kmod/ivpci_smcd.c"), {"unit", "kernel61"})
        self.assertEqual(changed.cases_of("kmod/tcp_ivpci_clean.c"), {"direct"})
        self.assertIn("deny-port", changed.cases_of("tests/vm/cases/plain_tcp.py"))
        for everything in ("include/ivpci/shm_abi.h", "dev", "tests/vm/harness/lab.py", "no/such/file"):
            self.assertIsNone(changed.cases_of(everything), everything)

    def test_rules_name_what_there_is(self):
        known = case.load()
        words = set().union(*(words for _, words in changed.RULES))
        names = set(known) | {one.label for one in known.values()} | changed.PROGRAMS
        self.assertEqual(words - names, set())

    def test_every_rule_fits_a_file(self):
        listed = subprocess.run(["git", "ls-files"], cwd=case.paths.REPO, capture_output=True, text=True,
                                check=True).stdout.split()
        for pattern, _ in changed.RULES:
            self.assertTrue(any(changed.fnmatch.fnmatchcase(file, pattern) for file in listed), pattern)

    def test_a_commit_that_is_none(self):
        with self.assertRaisesRegex(ValueError, "--changed nowhere: git says"):
            changed.narrow(batches(), "nowhere")


class SelfTestsTest(unittest.TestCase):
    def outcome(self, function):
        class Sample(unittest.TestCase):
            test = function
        return self_tests.run("sample", Sample("test"))

    def test_what_fails(self):
        self.assertTrue(self.outcome(lambda self: None).passed)
        for bad in (lambda self: self.fail("no"), lambda self: 1 / 0,
                    lambda self: self.skipTest("not today")):
            outcome = self.outcome(bad)
            self.assertFalse(outcome.passed)
            self.assertTrue(outcome.reason)

    def test_a_failing_subtest_fails(self):
        def function(self):
            with self.subTest(n=1):
                self.fail("no")
        self.assertFalse(self.outcome(function).passed)


class PlanTest(unittest.TestCase):
    def test_kernels(self):
        plan = Plan(guests=3, kernels=["stock", "guest"])
        self.assertEqual([plan.kernel(number) for number in (1, 2, 3)], ["stock", "guest", "guest"])


class QemuTest(unittest.TestCase):
    def machine(self, **changes):
        return qemu.Machine(number=3, accel="tcg", kernel=Path("/k"), init=Path("/i"),
                            repo=Path("/r"), logs=Path("/l"), **changes)

    def test_never_one_possible_cpu(self):
        for cpus, words in ((1, "1,maxcpus=2"), (2, "2,maxcpus=2"), (4, "4,maxcpus=4")):
            argv = qemu.command(self.machine(cpus=cpus))
            self.assertEqual(argv[argv.index("-smp") + 1], words)

    def test_who_mounts_the_root(self):
        self.assertIn("init=/i", qemu.append(self.machine()).split())
        words = qemu.append(self.machine(initrd=Path("/initrd"))).split()
        self.assertIn("STEER_INIT=/i", words)
        self.assertFalse([word for word in words if word.startswith(("init=", "root="))])

    def test_device_only_where_there_is_a_region(self):
        self.assertNotIn("ivshmem-doorbell", " ".join(qemu.command(self.machine())))
        regions = [qemu.Region("b0"), qemu.Region("b1", "ivpci1", 2)]
        argv = " ".join(qemu.command(self.machine(regions=regions)))
        self.assertIn("ivshmem-doorbell,id=ivpci0,chardev=chardev-ivpci0,vectors=4", argv)
        self.assertIn("ivshmem-doorbell,id=ivpci1,chardev=chardev-ivpci1,vectors=2", argv)

    def test_host_files_are_read_only(self):
        argv = qemu.command(self.machine())
        shares = [argv[i + 1] for i, word in enumerate(argv) if word == "-fsdev"]
        self.assertEqual(len(shares), 2)
        for share in shares:
            self.assertIn("readonly=on", share)


if __name__ == "__main__":
    unittest.main()
